//! The audit log's files, for whoever audits the server: as C2SP tlog-tiles has them, so that any program for that
//! standard verifies the log.

use std::io::ErrorKind;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use dkm_audit::note::NOTE_LEN_MAX;
use dkm_audit::source::Source;
use dkm_audit::tile::Tile;

use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;

type Shared = State<Arc<Server>>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A file of the log. Nobody on the way keeps it: who may read it is asked each time.
fn answer(kind: HeaderValue, bytes: Vec<u8>) -> Response {
    let never = HeaderValue::from_static("no-store");
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, never)], bytes).into_response()
}

/// The newest checkpoint. It covers the entry which says that it is read.
pub(super) async fn checkpoint(State(server): Shared, caller: Caller) -> Result<Response, Problem> {
    server.read_log(&caller).await?;
    Ok(answer(TEXT, server.audit().log().checkpoint().to_vec()))
}

/// A tile of hashes, or a bundle of entries: of what was acknowledged, and nothing else that may lie beside it.
pub(super) async fn tile(
    State(server): Shared,
    caller: Caller,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    server.read_log(&caller).await?;
    let Some(tile) = Tile::parse(&format!("tile/{path}")) else {
        return Err(Problem::invalid(
            "this is no path of a tile, such as 0/x001/234, 0/000.p/12 or entries/000",
        ));
    };
    let size = server.audit().size().map_err(|error| Problem::unavailable(error.to_string()))?;
    let gone = || Problem::not_found(format!("the log has {size} entries, and no such tile"));
    if !tile.is_in(size) {
        return Err(gone());
    }
    let bytes = read(&server, tile.path(), tile.len_max()).await?;
    Ok(answer(BYTES, bytes.ok_or_else(gone)?))
}

/// The checkpoint at which the log has changed its key.
pub(super) async fn handover(
    State(server): Shared,
    caller: Caller,
    Path(size): Path<String>,
) -> Result<Response, Problem> {
    server.read_log(&caller).await?;
    let number: Option<u64> = size.parse().ok();
    let Some(number) = number.filter(|number| number.to_string() == size) else {
        return Err(Problem::invalid("a change of the log's key is named by the log's size then, a number"));
    };
    let bytes = read(&server, format!("handover/{number}"), NOTE_LEN_MAX).await?;
    let gone = || Problem::not_found(format!("the log has not changed its key at {number} entries"));
    Ok(answer(TEXT, bytes.ok_or_else(gone)?))
}

async fn read(server: &Arc<Server>, path: String, len_max: usize) -> Result<Option<Vec<u8>>, Problem> {
    let source = server.audit().log().source();
    let read = tokio::task::spawn_blocking(move || source.read(&path, len_max)).await;
    let broken = |_| Err(std::io::Error::from(ErrorKind::Interrupted));
    read.unwrap_or_else(broken).map_err(|error| {
        // The path of the server's folder is nobody's affair.
        Problem::unavailable(format!("a file of the audit log can't be read: {}", error.kind()))
    })
}
