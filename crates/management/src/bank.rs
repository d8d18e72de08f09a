//! The question bank: categories, versioned questions, their review and search.
//!
//! A draft that no exam has used is edited in place. A change of any other
//! question creates its next version, so that published exams and their answers
//! keep the version that candidates saw.

mod model;
mod repository;
mod review;
mod search;

pub use self::{
    model::{
        BankQuestion, MediaType, QuestionCategory, QuestionCategoryDraft, QuestionDifficulty,
        QuestionDraft, QuestionHit, QuestionReview, QuestionSearch, QuestionStatus, ReviewAction,
        ReviewStatus,
    },
    repository::{QuestionCategoryResource, QuestionResource, change_question, create_question},
    review::review_question,
    search::search_questions,
};
