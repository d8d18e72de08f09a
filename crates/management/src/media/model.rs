//! Fields of media files.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::ids::{BankQuestionId, MediaFileId};

/// Path under which a file is served by its name.
pub const ADDRESS_PREFIX: &str = "/api/v1/media/";

/// A media file of a question.
#[derive(Debug, Deserialize)]
pub struct QuestionFile {
    /// Number of the file.
    pub id: MediaFileId,
    /// Number of the question that the file belongs to.
    pub question_id: BankQuestionId,
    /// Address of the file, for the `image` of a question.
    pub address: String,
    /// Media type, detected from the content.
    pub kind: String,
    /// Size in bytes.
    pub bytes: i64,
    /// Text alternative for people who do not see the file.
    pub alt: String,
    /// Time of the first upload.
    pub created_at: DateTime<Utc>,
}
