//! The rows of problems.

use super::*;
use tidegate_engine::model::problem::{ProblemKey, ProblemKind};

/// Rows as version 0.1.0 wrote them, and one of a later version.
const ROWS: &str = "
    INSERT INTO problems (key, fleet, since, text) VALUES
    ('drain-ignored:app', 'app', '2026-03-02T18:00:00Z', 'no server of app goes'),
    ('drain:app', 'app', '2026-03-02T18:00:00Z', 'connection draining is off'),
    ('ec2-list', NULL, '2026-03-02T18:00:00Z', 'EC2 cannot be listed'),
    ('spot-lost:i-1', 'app', '2026-03-02T18:00:00Z', 'EC2 took i-1 back')";

#[tokio::test]
async fn problems_of_other_versions_are_kept() {
    let folder = Folder::new("problem-rows");
    drop(folder.open());
    let connection = rusqlite::Connection::open(folder.0.join(DATABASE)).unwrap();
    connection.execute_batch(ROWS).unwrap();
    drop(connection);
    let (_dir, Opened { store, .. }) = folder.open();
    let problems = store.load(now()).await.unwrap().problems;
    let read: Vec<_> = problems.iter().map(|(key, open)| (key, key.kind(), &*open.text)).collect();
    let list = ProblemKey::from(ProblemKind::InventoryUnusable);
    let ignored = ProblemKind::DrainIgnored.about("app");
    let delay = ProblemKind::DeregistrationDelay.about("app");
    let unknown = ProblemKey::parse("spot-lost:i-1");
    assert_eq!(
        read,
        [
            (&ignored, Some(ProblemKind::DrainIgnored), "no server of app goes"),
            (&delay, Some(ProblemKind::DeregistrationDelay), "connection draining is off"),
            (&list, Some(ProblemKind::InventoryUnusable), "EC2 cannot be listed"),
            (&unknown, None, "EC2 took i-1 back"),
        ]
    );
    store.commit(&[Change::ProblemEnded(unknown), Change::ProblemEnded(list)]).await.unwrap();
    let left: Vec<_> = store.load(now()).await.unwrap().problems.into_keys().collect();
    assert_eq!(left, [ignored, delay]);
}
