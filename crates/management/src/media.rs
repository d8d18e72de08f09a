//! Media files of questions.

mod model;
mod repository;

pub use self::{
    model::{ADDRESS_PREFIX, QuestionFile},
    repository::{add_file, list_files, remove_file},
};
