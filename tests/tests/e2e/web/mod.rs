//! The web: its wall, its tokens, its routes, its socket.

mod archive;
mod roles;
mod routes;
mod socket;
mod tokens;
mod wall;
