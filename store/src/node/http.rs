//! The HTTP face of a node.

use std::sync::mpsc::Sender;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::sync::oneshot;

use super::engine::Ask;
use crate::config::CoreConfig;
use crate::core::Command;
use crate::wire::{Envelope, NodeStatus, TxnReply, TxnRequest};

/// Largest request, bytes: a batch of messages, each with a batch of entries.
const BODY_MAX: usize = 64 << 20;

/// `/txn`, `/status`, `/config`, `/peer`; `/lead` and `/stand-down/MS` for whoever looks after the
/// cluster.
pub fn router(engine: Sender<Ask>) -> Router {
    Router::new()
        .route("/txn", post(txn))
        .route("/status", get(status))
        .route("/peer", post(peer))
        .route("/config", get(config))
        .route("/lead", post(lead))
        .route("/stand-down/{ms}", post(stand_down))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(engine)
}

async fn txn(
    State(engine): State<Sender<Ask>>,
    Json(request): Json<TxnRequest>,
) -> Result<Json<TxnReply>, StatusCode> {
    let (sender, receiver) = oneshot::channel();
    engine.send(Ask::Txn(request, sender)).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    receiver.await.map(Json).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn status(State(engine): State<Sender<Ask>>) -> Result<Json<NodeStatus>, StatusCode> {
    let (sender, receiver) = oneshot::channel();
    engine.send(Ask::Status(sender)).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let mut status = receiver.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    // tidy: allow(clock) it is what the node is asked for; nothing is decided by it
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    status.wall_us = Some(since.as_micros() as i64);
    Ok(Json(status))
}

async fn config(State(engine): State<Sender<Ask>>) -> Result<Json<CoreConfig>, StatusCode> {
    let (sender, receiver) = oneshot::channel();
    engine.send(Ask::Config(sender)).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    receiver.await.map(Json).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn lead(State(engine): State<Sender<Ask>>) -> Result<(), StatusCode> {
    let sent = engine.send(Ask::Command(Command::Lead));
    sent.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn stand_down(
    State(engine): State<Sender<Ask>>,
    Path(ms): Path<u64>,
) -> Result<(), StatusCode> {
    let hold = ms.saturating_mul(1_000_000);
    let sent = engine.send(Ask::Command(Command::StandDown(hold)));
    sent.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn peer(State(engine): State<Sender<Ask>>, Json(envelopes): Json<Vec<Envelope>>) {
    drop(engine.send(Ask::Peer(envelopes)));
}
