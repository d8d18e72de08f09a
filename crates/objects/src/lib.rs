//! Files beside the database, in a folder or on S3: media of exams and evidence of
//! proctoring.

pub mod evidence;
pub mod media;
