"""A native Beltline driver in Python: it seals resources with a digest. NATS_URL says where the broker is."""
import asyncio, contextlib, hashlib, json, os, signal, time
import nats
from nats.js.api import AckPolicy, ConsumerConfig
NAME = os.environ.get("BELT_DRIVER_NAME", "notary")

def reconcile(message, say):
    """The driver itself: what it returns is the step's output; what it raises is the step's failure."""
    resource = json.loads(message["payload"])
    say(f"sealing {resource['name']}")
    return {"sealed": hashlib.sha256(json.dumps(resource["spec"], sort_keys=True).encode()).hexdigest()}

async def in_progress(msg):
    while True:
        await msg.in_progress()
        await asyncio.sleep(10)

async def kept(js, subject, body, deadline_ms):
    """Publishes until the broker has it on disk, or nobody waits for it any more."""
    while time.time() * 1000 < deadline_ms:
        try:
            return await js.publish(subject, json.dumps(body).encode(), timeout=5)
        except Exception as error:
            print("not taken, trying on:", repr(error), flush=True)
            await asyncio.sleep(1)

async def work(js, msg):
    message, lines = json.loads(msg.data), []
    deadline_ms, echo = message["deadline_ms"], {key: message[key] for key in ("run_id", "step_id", "attempt", "token")}
    if time.time() * 1000 < deadline_ms:  # else no answer counts any more, and the message is dropped
        beat = asyncio.create_task(in_progress(msg))
        try:
            outcome = {"success": True, "message": "sealed", "data": await asyncio.to_thread(reconcile, message, lines.append)}
        except Exception as error:
            outcome = {"success": False, "message": repr(error), "failure": "other", "retryable": False}
        for line in lines:  # before the answer, so that they are in the run's log when it ends
            await kept(js, f"logs.{echo['run_id']}", {"runid": echo["run_id"], "driver": NAME, "message": line, "timestamp": str(int(time.time())),
                                                      "step_id": echo["step_id"], "attempt": echo["attempt"]}, deadline_ms)
        await kept(js, "pipelines.driver.result", {"event": "driver.result", **echo, "driverresult": {"driver": NAME, **outcome}}, deadline_ms)
        beat.cancel()
    await msg.ack_sync()

async def main():
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"), max_reconnect_attempts=-1, inbox_prefix=f"_INBOX_{NAME}".encode())
    js, stop = nc.jetstream(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=30, max_deliver=5, max_ack_pending=1000)
    pull = None
    while not stop.is_set():
        try:
            pull = pull or await js.pull_subscribe(f"{NAME}.resources.*", NAME, "messages", config)
            with contextlib.suppress(asyncio.TimeoutError):  # nothing to do
                await work(js, (await pull.fetch(1, timeout=1))[0])
        except Exception as error:  # the broker is away, or a message cannot be read: the host fails its step at the fifth delivery
            print("trying on:", repr(error), flush=True)
            await asyncio.sleep(1)
    await nc.close()
asyncio.run(main())
