//! Routes of the question bank.

mod categories;
mod dto;
mod questions;

pub(super) use self::dto::FileView;
use crate::web::routes::GuardedRoutes;

pub(super) fn routes() -> GuardedRoutes {
    categories::routes().merge(questions::routes())
}
