//! The way to the store and back: write buffers, the writer, and the outbox that carries
//! acknowledgements to the client.

pub(crate) mod outbox;
pub(crate) mod write_buffer;
pub(crate) mod writer;
