//! The tenant's file in `config/cxone` fits the emulator's demonstration data; only the port is another one.

use serde_json::json;

use crate::*;

const TENANT: &str = include_str!("../../../config/cxone/tenants/blue.toml");
const SECRETS: [(&str, &str); 3] = [
    ("emulator-client-secret", include_str!("../../../config/cxone/emulator-client-secret")),
    ("emulator-service-secret", include_str!("../../../config/cxone/emulator-service-secret")),
    ("front-desk-password", include_str!("../../../config/cxone/front-desk-password")),
];

#[tokio::test]
async fn agents_log_in_with_keys_of_their_own_and_by_the_service_key() {
    let emulator = Emulator::start("127.0.0.1:0".parse().unwrap(), Data::demo()).await.unwrap();
    assert!(TENANT.contains("http://127.0.0.1:9480"), "where the emulator listens when it is not told");
    let text = TENANT.replace("http://127.0.0.1:9480", &emulator.url());
    let tenant = Tenant::new("blue", "incontact").written(&text);
    let setup = SECRETS.iter().fold(Setup::new().tenant(tenant), |setup, (name, text)| setup.file(name, text));
    let host = setup.start().await;
    for (name, password, station) in [("anna", "anna-secret", "7001"), ("front-desk", "front-desk", "7003")] {
        let mut agent = Agent::connect(&host, "blue").await;
        let prepared = agent.prepare_with(name, password, false).await;
        assert_eq!(prepared["result"], "success", "{prepared}");
        agent.start(json!({})).await;
        let session = agent.the("session");
        let channel = json!({"channel": {"endpoint": station, "type": "Telephony"}});
        agent.does("session.request.addchannel", &session, channel, NEW_CHANNEL).await;
        let channel = agent.the("channel");
        agent.does("channel.request.activate", &channel, json!({}), &list(&[PAIR, "session.agentleg.connected"])).await;
        let books = agent.command("session.request.incontact.addressbook", &session, json!({"realtime": false})).await;
        assert_eq!(books["result"], "success", "{books}");
        agent.finish().await;
    }
    assert_eq!(emulator.control("agent", json!({"agent": 1003}))["station"], "7003", "whom front-desk stands for");
}
