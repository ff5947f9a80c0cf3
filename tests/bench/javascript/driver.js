// A driver in JavaScript that succeeds and does nothing: large, for the language's runtime is in it.
export const reconciler = {
  reconcile(request) {
    return { message: `seen ${request.kind}`, output: undefined, requeueAfterMs: undefined, extra: [] };
  },
};
