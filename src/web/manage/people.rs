//! Routes of people, their credentials, roles, private data and log-ins.

mod credentials;
mod dto;
mod import;
mod private;
mod roles;
mod rows;
mod sessions;

use crate::web::routes::GuardedRoutes;

pub(super) fn routes() -> GuardedRoutes {
    rows::routes()
        .merge(import::routes())
        .merge(credentials::routes())
        .merge(private::routes())
        .merge(roles::routes())
        .merge(sessions::routes())
}
