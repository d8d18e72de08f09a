//! Routes of exams as written, before their publication.

mod accommodations;
mod composition;
mod dto;
mod publication;
mod rows;

use crate::web::routes::GuardedRoutes;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .merge(rows::routes())
        .merge(composition::routes())
        .merge(publication::routes())
        .merge(accommodations::routes())
}
