//! Bounds of a batch.

use invigil_domain::id::AttemptId;
use invigil_store::ProgressRow;

use super::*;
use crate::{
    commit::write_buffer::{AttemptChanges, DurableProgress},
    fixture::{self, MemoryStore},
};

/// Queues a change of so many attempts.
fn enqueue_changes(writer: &BatchWriter, attempts: i64) {
    for attempt in 0..attempts {
        let durable = DurableProgress {
            version: 0,
            session: None,
            seq: 0,
        };
        let identity = fixture::identity(AttemptId(attempt));
        let buffer = Arc::new(WriteBuffer::new(&identity, 1, durable, None));
        let changes = AttemptChanges {
            progress: ProgressRow {
                version: 1,
                ..ProgressRow::default()
            },
            ..AttemptChanges::default()
        };
        if buffer.add_changes(changes, Instant::now()) {
            writer.enqueue(buffer);
        }
    }
}

async fn saved_batches(attempts: i64, attempts_max: usize) -> Vec<usize> {
    let (writer, store) = (BatchWriter::new(), Arc::new(MemoryStore::default()));
    let flush = WriterSettings {
        max_delay: Duration::from_millis(5),
        attempts_max,
    };
    enqueue_changes(&writer, attempts);
    writer.stop();
    writer
        .run(Arc::clone(&store) as Arc<_>, flush, Arc::default())
        .await;
    store.batches()
}

#[tokio::test]
async fn a_batch_has_at_most_max_attempts() {
    assert_eq!(saved_batches(25, 10).await, [10, 10, 5]);
    assert_eq!(saved_batches(25, 1).await, [1; 25]);
    assert_eq!(saved_batches(25, 25).await, [25]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_writer_waits_for_a_fuller_batch_at_most_max_delay() {
    let (writer, store) = (
        Arc::new(BatchWriter::new()),
        Arc::new(MemoryStore::default()),
    );
    let max_delay = Duration::from_millis(50);
    let flush = WriterSettings {
        max_delay,
        attempts_max: 10,
    };
    let running = {
        let (writer, store) = (Arc::clone(&writer), Arc::clone(&store) as Arc<_>);
        async move { writer.run(store, flush, Arc::default()).await }
    };
    let filling = async {
        // The writer learns that changes come fast.
        enqueue_changes(&writer, 10);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(store.batches(), [10]);
        enqueue_changes(&writer, 2);
        tokio::time::sleep(max_delay / 2).await;
        assert_eq!(store.batches(), [10], "the writer waits");
        enqueue_changes(&writer, 3);
        tokio::time::sleep(max_delay / 2 + Duration::from_millis(1)).await;
        assert_eq!(store.batches(), [10, 5]);
        writer.stop();
    };
    tokio::join!(running, filling);
}
