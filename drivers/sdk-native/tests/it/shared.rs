//! Room, and replicas that share the work.

use std::collections::HashSet;

use crate::world::World;

#[tokio::test]
async fn a_driver_takes_no_more_than_it_has_room_for_and_a_replica_takes_the_rest() {
    let mut world = World::new().await;
    let first = world.driver(&["--concurrency", "2"]);
    for step in ["a", "b", "c", "d"] {
        world.dispatch(step, world.waiting()).await;
    }
    world.begun(2);
    let info = world.consumer().await;
    assert_eq!((info.num_ack_pending, info.num_pending), (2, 2));
    let second = world.driver(&["--concurrency", "2"]);
    let begun = world.begun(4);
    let pid = |driver: &crate::world::Driver| format!("{} 1", driver.pid());
    for driver in [&first, &second] {
        assert_eq!(begun.iter().filter(|line| **line == pid(driver)).count(), 2);
    }
    world.release();
    let mut answered = HashSet::new();
    for _ in 0..4 {
        answered.insert(world.result().await.step_id.unwrap());
    }
    assert_eq!(answered.len(), 4);
    world.settled().await;
}
