//! Every request that the server answers.

use dkm_remote::wire::elevation::{
    ControlView, EvidenceView, NewAnswer, NewOffline, NewRequest, OpenBlob, OpenedBlob, RequestView,
    Requests, TicketsView,
};
use dkm_remote::wire::{
    Access, AccessView, Certificate, DirectoryGroups, Enrolment, Groups, NewDirectoryGroup, NewPrincipal,
    Principals, PutView, Renewal, RepositoryView, RightsView, RoomView, StoredView, Token, WhoAmI,
};
use utoipa::openapi::HttpMethod::{Delete, Get, Post, Put};
use utoipa::openapi::Required;

use super::{Described, HttpMethod, described};
use crate::http::health::Health;

type Line = (HttpMethod, &'static str, Described);

pub(super) fn operations() -> Vec<Line> {
    let mut all = server();
    all.extend(groups());
    all.extend(directory());
    all.extend(elevation());
    all.extend(log());
    all
}

fn server() -> Vec<Line> {
    let of = |id, summary| described(id, "server", summary);
    vec![
        (
            Get,
            "/health",
            of("health", "Whether keys are released and changes are made")
                .public()
                .gives::<Health>("They are.")
                .gives_with::<Health>(503, "They are not; which part fails is said."),
        ),
        (
            Get,
            "/v1/openapi.json",
            of("openapi", "This description").public().gives_as("application/json", "The description."),
        ),
        (
            Get,
            "/v1/repository",
            of("repository", "What repository this is, and as whom the caller adds to it")
                .gives::<RepositoryView>("The repository."),
        ),
        (
            Get,
            "/v1/whoami",
            of("whoAmI", "As whom the caller is authenticated").gives::<WhoAmI>("The caller."),
        ),
        (
            Post,
            "/v1/enrolment",
            of("enrol", "Get an account's first certificate for a one-time token")
                .public()
                .takes::<Enrolment>()
                .gives::<Certificate>("The certificate; the token is used up."),
        ),
        (
            Post,
            "/v1/renewal",
            of("renew", "Get the caller's next certificate")
                .takes::<Renewal>()
                .gives::<Certificate>("The certificate; the one before goes on until its own end."),
        ),
    ]
}

fn groups() -> Vec<Line> {
    let of = |id, summary| described(id, "groups", summary);
    let stamp = "What the room's list says of the record";
    vec![
        (
            Get,
            "/v1/groups",
            of("listGroups", "Groups of keys that the caller may know of").gives::<Groups>("Their ids."),
        ),
        (
            Put,
            "/v1/groups/{group}",
            of("createGroup", "Make a group, which others see once it is announced")
                .takes::<Access>()
                .says(201, "It is made."),
        ),
        (
            Post,
            "/v1/groups/{group}/announcement",
            of("announceGroup", "Let others see a group").says(204, "They do."),
        ),
        (
            Get,
            "/v1/groups/{group}/rights",
            of("rights", "What the caller may do with a group").gives::<RightsView>("The caller's rights."),
        ),
        (
            Get,
            "/v1/groups/{group}/access",
            of("access", "Who may do what with a group").gives::<AccessView>("One line for each."),
        ),
        (
            Get,
            "/v1/groups/{group}/rooms/{room}",
            of("listRoom", "Records of a room, or what came since a mark")
                .query("since", Required::False, "The mark of an earlier list")
                .gives::<RoomView>("The list. A mark that says nothing here any more gives all."),
        ),
        (
            Get,
            "/v1/groups/{group}/rooms/{room}/{slot}",
            of(
                "getRecord",
                "A record; with key material only for members, and only once that is in the audit log",
            )
            .query("stamp", Required::True, stamp)
            .gives::<StoredView>("The record, or its public part."),
        ),
        (
            Put,
            "/v1/groups/{group}/rooms/{room}/{slot}",
            of("putRecord", "Add a record; none is ever changed")
                .takes_bytes("The record, in DKM's record format; at most 64 KiB.")
                .gives::<PutView>("What became of it."),
        ),
        (
            Delete,
            "/v1/groups/{group}/rooms/{room}/{slot}",
            of("eraseRecord", "Erase the record of a destroyed key")
                .query("stamp", Required::True, stamp)
                .says(204, "It is not there any more."),
        ),
    ]
}

fn directory() -> Vec<Line> {
    let of = |id, summary| described(id, "directory", summary);
    vec![
        (
            Get,
            "/v1/principals",
            of("listPrincipals", "Accounts that the server knows").gives::<Principals>("All accounts."),
        ),
        (
            Put,
            "/v1/principals/{name}",
            of("putPrincipal", "Make an account, or change all of one but its kind")
                .takes::<NewPrincipal>()
                .says(201, "It is there, and enabled."),
        ),
        (
            Delete,
            "/v1/principals/{name}",
            of("disablePrincipal", "Disable an account").says(204, "Its certificates and tokens have ended."),
        ),
        (
            Post,
            "/v1/principals/{name}/token",
            of("token", "A one-time token with which an account gets its first certificate")
                .gives::<Token>("The token, in the place of those before."),
        ),
        (
            Get,
            "/v1/directory-groups",
            of("listDirectoryGroups", "Directory groups, and who is in them")
                .gives::<DirectoryGroups>("All directory groups."),
        ),
        (
            Put,
            "/v1/directory-groups/{name}",
            of("putDirectoryGroup", "Make a directory group")
                .takes::<NewDirectoryGroup>()
                .says(201, "It is made."),
        ),
        (
            Put,
            "/v1/directory-groups/{name}/members/{member}",
            of("addMember", "Take an account or a directory group into a directory group")
                .says(204, "It is in."),
        ),
        (
            Delete,
            "/v1/directory-groups/{name}/members/{member}",
            of("removeMember", "Take an account or a directory group out of a directory group")
                .says(204, "It is not in."),
        ),
    ]
}

fn elevation() -> Vec<Line> {
    let of = |id, summary| described(id, "elevation", summary);
    let step = |id, summary| of(id, summary).gives::<RequestView>("The request as it stands then.");
    vec![
        (
            Get,
            "/v1/groups/{group}/control",
            of("control", "A group's control records, for whoever stands in its roster or sees the group")
                .gives::<ControlView>("The records. Clients find out from them by themselves what is in force."),
        ),
        (
            Get,
            "/v1/groups/{group}/requests",
            of("listRequests", "Requests for access to a group that the caller may see")
                .gives::<Requests>("The requests, without what came of them."),
        ),
        (
            Post,
            "/v1/groups/{group}/requests",
            step("request", "Ask for access: a person of the group's roster does").takes::<NewRequest>(),
        ),
        (
            Post,
            "/v1/groups/{group}/offline",
            step("submit", "Bring a request that was made by file while the server did not answer")
                .takes::<NewOffline>(),
        ),
        (
            Get,
            "/v1/requests/{request}",
            of("showRequest", "A request, and what came of it").gives::<RequestView>("The request."),
        ),
        (
            Get,
            "/v1/requests/{request}/evidence",
            of("evidence", "What the answers to a request can be verified by without DKM")
                .gives::<EvidenceView>("One for each answer."),
        ),
        (
            Post,
            "/v1/requests/{request}/answers",
            step("answer", "Approve or deny, by an SSH signature").takes::<NewAnswer>(),
        ),
        (Post, "/v1/requests/{request}/withdrawal", step("withdraw", "Take one's own request back")),
        (Post, "/v1/requests/{request}/activation", step("activate", "Begin the access that was approved")),
        (Post, "/v1/requests/{request}/revocation", step("revoke", "End what was asked for or granted")),
        (Post, "/v1/requests/{request}/review", step("review", "Say that an emergency was reviewed")),
        (
            Post,
            "/v1/requests/{request}/credentials",
            of("credentials", "A certificate that reads the group's keys until a direct grant ends")
                .takes::<Renewal>()
                .gives::<Certificate>(
                    "The certificate; one that was given out under the grant before is refused.",
                ),
        ),
        (
            Post,
            "/v1/requests/{request}/tickets",
            of(
                "tickets",
                "Tickets with which the group's keys are read from a domain until a direct grant ends",
            )
            .gives::<TicketsView>("The tickets. They are a secret, and nothing renews them."),
        ),
        (
            Post,
            "/v1/requests/{request}/unprotect",
            of("unprotect", "Open a blob under a grant, once that is in the audit log")
                .takes::<OpenBlob>()
                .gives::<OpenedBlob>("The plaintext, and the proof that its release is in the log."),
        ),
    ]
}

fn log() -> Vec<Line> {
    let of = |id, summary| described(id, "audit log", summary);
    let text = "text/plain; charset=utf-8";
    vec![
        (
            Get,
            "/v1/log/checkpoint",
            of("logCheckpoint", "The audit log's newest checkpoint, for auditors")
                .gives_as(text, "A C2SP tlog-checkpoint in a signed note."),
        ),
        (
            Get,
            "/v1/log/tile/{path}",
            of("logTile", "A tile of the audit log, or a bundle of its entries, for auditors")
                .gives_as("application/octet-stream", "The tile, as C2SP tlog-tiles has it."),
        ),
        (
            Get,
            "/v1/log/handover/{size}",
            of("logHandover", "The checkpoint at which the audit log has changed its key, for auditors")
                .gives_as(text, "A checkpoint that both keys have signed."),
        ),
    ]
}
