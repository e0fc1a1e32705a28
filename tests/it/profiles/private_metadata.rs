//! Private metadata is stored only on request.

use clerk_resilience::Builder;
use clerk_resilience::store::MemoryStore;
use clerk_resilience::store::Store as _;
use serde_json::json;

#[cfg(feature = "sqlite")]
use super::samples;
use super::{Watched, known};
#[cfg(feature = "sqlite")]
use crate::webhooks::data;
use crate::webhooks::{deliver, with};

#[tokio::test(start_paused = true)]
async fn private_metadata_is_stored_only_if_enabled() {
    let private = json!({ "ref": "do-not-keep" });
    for keep in [false, true] {
        let store = Watched::default();
        let choose = |builder: Builder| {
            builder.store(store.clone()).reconcile_on_demand().keep_private_metadata(keep)
        };
        let world = with(choose).await;
        let members = json!({ "first_name": "Ada", "private_metadata": private });
        world.sim.update_user("user_1", members.clone());
        let mut user = members;
        user["id"] = json!("user_2");
        let event = json!({ "type": "user.created", "data": user });
        deliver(&world, "msg_1", &event.to_string()).await;
        for id in ["user_1", "user_2"] {
            let found = known(&world, id).await.expect("told").expect("known");
            assert_eq!(found.profile.private_metadata, keep.then(|| private.clone()), "{id}");
            world.pass(1).await;
            let kept = store.0.store.user(&id.into()).await.expect("kept").expect("known");
            let text = serde_json::to_string(&kept).expect("JSON");
            assert_eq!(text.contains("do-not-keep"), keep, "{id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stored_private_metadata_is_hidden_if_not_enabled() {
    let store = MemoryStore::new();
    let start = |keep: bool| {
        let store = store.clone();
        move |builder: Builder| builder.store(store).keep_private_metadata(keep)
    };
    let before = with(start(true)).await;
    let user = json!({ "id": "user_2", "private_metadata": { "a": 1 } });
    let event = json!({ "type": "user.created", "data": user });
    deliver(&before, "msg_1", &event.to_string()).await;
    for keep in [true, false] {
        let world = with(start(keep)).await;
        world.break_clerk();
        let found = known(&world, "user_2").await.expect("told").expect("known");
        assert_eq!(found.profile.private_metadata.is_some(), keep);
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test(start_paused = true)]
async fn no_private_metadata_of_a_sample_is_in_the_file() {
    use clerk_resilience::store::SqliteStore;
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path().join("clerk.db")).expect("a store");
    let world = with(|builder| builder.store(store)).await;
    let mut names = 0;
    for (n, (file, body, _)) in samples().into_iter().enumerate() {
        names += u32::from(body.to_string().contains("do-not-cache"));
        deliver(&world, &format!("msg_{n}"), &data(&format!("webhook-samples/{file}"))).await;
    }
    assert!(names > 5, "the samples have some");
    world.sim.update_user("user_1", json!({ "private_metadata": { "ref": "do-not-cache" } }));
    assert!(known(&world, "user_1").await.expect("told").is_some());
    world.pass(1).await;
    let holds = |text: &str| {
        std::fs::read_dir(dir.path()).expect("readable").any(|entry| {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("readable");
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
    };
    assert!(holds("user_1") && holds("northwind"), "what is public is there");
    assert!(!holds("do-not-cache"));
}
