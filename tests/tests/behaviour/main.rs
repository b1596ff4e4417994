//! What the host does, one file a behaviour. Each test starts a host of its own; `protocol.md` is what they quote.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

mod agent_tokens;
mod alerts;
mod attacks;
mod audit;
mod auth;
mod by_itself;
mod calls;
mod channels;
mod chats;
mod command_line;
mod connections;
mod consults;
mod dashboard;
mod data;
mod endurance;
mod examples;
mod extensions;
mod first_call;
mod groups;
mod guessing;
mod http_clients;
mod jwt;
mod limits;
mod links;
mod lists;
mod login;
mod logs;
mod messages;
mod metrics;
mod misdeeds;
mod operate;
mod operators;
mod ordering;
mod plugins;
mod preconditions;
mod proxies;
mod rates;
mod reload;
mod resume;
mod revoked;
mod sandbox;
mod schemas;
mod service_manager;
mod shutdown;
mod store;
mod supervise;
mod tenants;
mod times;
mod tls;
mod traces;
mod upgrades;
mod vanished;
mod workers;
