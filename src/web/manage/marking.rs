//! Routes of attempts, marking and statistics.

mod queue;
mod results;
mod statistics;

pub(super) use self::statistics::AttemptQuery;
use crate::web::routes::GuardedRoutes;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .merge(statistics::routes())
        .merge(queue::routes())
        .merge(results::routes())
}
