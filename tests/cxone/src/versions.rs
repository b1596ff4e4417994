//! Which version of the API has which call, and who may make it.
//!
//! Owns what the path alone decides. A call that is not named here is in every version.

use crate::{
    data::AgentId,
    world::{Refusal, World, refuse},
};

/// Whether a call is there under this version, and may be made by this user.
///
/// # Errors
/// 404: not under this version; 403: not by this user.
pub(crate) fn check(world: &World, user: AgentId, call: &str, version: u64) -> Result<(), Refusal> {
    let (unit, who) = world.data.agent(user).expect("tokens belong to agents");
    let there = match call {
        "interactions/stop-record" => version == 2,
        "interactions/play-voicemail" => version == 4,
        "interactions/disposition" => (version >= 27) == world.data.behaviour.saves_dispositions,
        "interactions/dial" | "interactions/reschedule" | "interactions/cancel" => version >= 21,
        "agents/scheduled-callbacks" | "scheduled-callbacks" => version >= 25,
        "interactions/conference-hold" | "interactions/conference-resume" | "interactions/join-conference" => {
            version >= 31
        }
        "scripts" => version <= 12 && world.data.behaviour.lists_scripts,
        "scripts/search" => version > 12,
        _ => true,
    };
    if !there {
        return refuse(404, "NotFound", format!("{call} is not in version {version} of business unit {}", unit.id));
    }
    // Newer versions of these want the permission to view skills, which agents do not have.
    let views = matches!(call, "skills/dispositions" | "skills/tags") && version > 12 && !who.views_skills;
    if views || who.denied.iter().any(|denied| denied == call) {
        return refuse(403, "PermissionDenied", format!("the user may not call {call}"));
    }
    Ok(())
}
