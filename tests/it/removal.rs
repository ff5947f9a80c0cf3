//! A run that is removed as it was looked at: one that has gone on since stays whole.

use crate::belt::Bench;
use beltline::runs::{Runs, StoredRun, Traces};
use beltline::state::StateFolder;
use beltline::store::{Batch, Embedded, Order, Store};
use beltline_engine::{Input, events};
use std::sync::Arc;

#[tokio::test]
async fn a_run_that_was_retried_since_it_was_looked_at_stays() {
    let step = "{driver: fail, with: {kind: permanent}}";
    let bench = Bench::with_steps(&["fail"], &[step]);
    assert_eq!(bench.run(&[]).code, 1);
    let state = StateFolder::locate(Some(&bench.path("state"))).unwrap();
    let store = Arc::new(Embedded::open(&state.store()).unwrap());
    let runs = Runs::new(Arc::<Embedded>::clone(&store));
    let id = runs.latest(1).await.unwrap()[0];
    let before = runs.load(id).await.unwrap().unwrap();
    let head = runs.ended_head(id).await.unwrap().unwrap();

    let input = Input::Retry { from: None };
    let retried = before
        .run
        .on(&input, before.run.head.updated_ms + 1)
        .unwrap();
    let traces = Traces {
        events: events(Some(&before.run), &retried),
        ..Traces::default()
    };
    let saved = runs.save(&before, &retried, &traces, Batch::new()).await;
    assert!(!runs.remove(&before.record, head).await.unwrap());
    let StoredRun { run, .. } = runs.load(id).await.unwrap().unwrap();
    assert_eq!(*run, retried);
    assert_eq!(runs.ended_head(id).await.unwrap(), None);

    // As it is now it can go, and nothing of it is left.
    assert!(runs.remove(&before.record, saved.unwrap()).await.unwrap());
    let id = id.to_string();
    for prefix in ["run/", "head/", "step/", "event/", "of/"] {
        let left = store
            .keys(prefix, None, Order::Ascending, 10)
            .await
            .unwrap();
        assert!(!left.iter().any(|key| key.contains(&id)), "{left:?}");
    }
}
