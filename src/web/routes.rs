//! Routes with a declaration of who may call them: a route cannot be registered without one.
//!
//! The declaration does not replace the check, which needs the attempt or the row. Tests call
//! every route with callers whom its declaration shuts out, and expect a refusal.

use axum::{Router, extract::DefaultBodyLimit, http::Method, routing::MethodRouter};
use utoipa::openapi::{OpenApi, PathItem, path::Paths};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::AppState;

/// Callers of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteAccess {
    /// Everybody: pages, descriptions, probes, and what begins or ends a log-in.
    Public,
    /// Holders of a link or a name that cannot be guessed.
    Link,
    /// Sockets: their first message carries the token.
    FirstMessage,
    /// Signed-in people of every role.
    Person,
    /// The candidate of the attempt.
    Owner,
    /// The candidate of the attempt, and the staff of its exam.
    Attempt,
    /// Proctors, teachers and administrators of the exam.
    ExamStaff,
    /// Teachers and administrators of the exam.
    ExamTeacher,
    /// Signed-in people of every role, on their own data of the management side.
    OwnAccount,
    /// Teachers and administrators of the management side.
    Manager,
    /// Administrators of the management side.
    Administrator,
}

/// A route and the callers that it admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredRoute {
    /// Method; none: all methods that the handler has.
    pub method: Option<Method>,
    /// Path, with parameters in braces.
    pub path: String,
    /// Callers of the route.
    pub access: RouteAccess,
}

/// Routes, each with its [`RouteAccess`].
#[derive(Default)]
pub(super) struct GuardedRoutes {
    router: OpenApiRouter<AppState>,
    declared: Vec<DeclaredRoute>,
}

impl GuardedRoutes {
    /// Returns no routes.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds described routes: what `routes!` returns.
    pub(super) fn add(mut self, access: RouteAccess, routes: UtoipaMethodRouter<AppState>) -> Self {
        self.declared.extend(declared_routes(&routes.1, access));
        self.router = self.router.routes(routes);
        self
    }

    /// Adds a route that the description leaves out.
    pub(super) fn add_undescribed(
        mut self,
        access: RouteAccess,
        path: &str,
        handler: MethodRouter<AppState>,
    ) -> Self {
        self.declared.push(DeclaredRoute {
            method: None,
            path: path.to_owned(),
            access,
        });
        self.router = self.router.route(path, handler);
        self
    }

    /// Adds all routes of another part.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.declared.extend(other.declared);
        self.router = self.router.merge(other.router);
        self
    }

    /// Bounds the bodies of the requests to these routes.
    pub(super) fn limit_bodies(mut self, bytes_max: usize) -> Self {
        self.router = self.router.layer(DefaultBodyLimit::max(bytes_max));
        self
    }

    /// Returns the declarations.
    pub(super) fn into_declared(self) -> Vec<DeclaredRoute> {
        self.declared
    }

    /// Returns the routes without a description.
    pub(super) fn into_router(self) -> Router<AppState> {
        self.router.split_for_parts().0
    }

    /// Splits the routes from their description, which continues `description`.
    pub(super) fn split(self, description: OpenApi) -> (Router<AppState>, OpenApi) {
        OpenApiRouter::with_openapi(description)
            .merge(self.router)
            .split_for_parts()
    }
}

fn declared_routes(paths: &Paths, access: RouteAccess) -> Vec<DeclaredRoute> {
    let mut declared = Vec::new();
    for (path, item) in &paths.paths {
        for method in described_methods(item) {
            declared.push(DeclaredRoute {
                method: Some(method),
                path: path.clone(),
                access,
            });
        }
    }
    declared
}

fn described_methods(item: &PathItem) -> impl Iterator<Item = Method> {
    [
        (&item.get, Method::GET),
        (&item.put, Method::PUT),
        (&item.post, Method::POST),
        (&item.delete, Method::DELETE),
        (&item.patch, Method::PATCH),
    ]
    .into_iter()
    .filter(|(operation, _)| operation.is_some())
    .map(|(_, method)| method)
}
