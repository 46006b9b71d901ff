//! Shows a [`Story`](crate::story::Story): to people, and to other programs.

pub mod html;
pub mod mermaid;
pub mod perfetto;
pub mod text;
