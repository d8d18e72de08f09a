//! Routes of courses, their categories and enrolments.

mod categories;
mod dto;
mod enrolments;
mod rows;

use crate::web::routes::GuardedRoutes;

pub(super) fn routes() -> GuardedRoutes {
    rows::routes()
        .merge(categories::routes())
        .merge(enrolments::routes())
}
