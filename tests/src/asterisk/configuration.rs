//! The files of an Asterisk under test, and of a tenant on it.
//!
//! Owns: their text. What a user writes into the own Asterisk and into the tenant's file is read from the adapter's
//! README, so that the tests use the very lines that it shows; only ports differ.

use std::{fmt::Write as _, fs};

use super::{APPLICATION, Asterisk, libraries, root};
use crate::host::Tenant;

const README: &str = include_str!("../../../plugins/asterisk/README.md");
/// The password in the README's ari.conf.
const PASSWORD: &str = "change-me";

/// What stands in a line about an event of a channel, in the order of [`ChannelEvent`](super::ChannelEvent).
const CHANNEL_EVENTS: &str = "[mappings]\nMaster.csv => ${eventtype},${CHANNEL(channame)},${CHANNEL(uniqueid)},\
                              ${CHANNEL(linkedid)},${CHANNEL(userfield)}\n";

/// A block of the README by its file's name.
fn from_readme(file: &str) -> &'static str {
    let at = [format!("```ini {file}\n"), format!("```toml {file}\n")];
    let (_, rest) = at.iter().find_map(|at| README.split_once(at.as_str())).expect("the README has that block");
    rest.split_once("```").expect("its end").0
}

/// A text of the README with a port of ours in the place of Asterisk's usual one.
fn with_port(text: &str, port: u16) -> String {
    assert!(text.contains("8088"), "the README names the port:\n{text}");
    text.replace("8088", &port.to_string())
}

impl Asterisk {
    /// The README's tenant on this Asterisk, in a worker process as is usual; `more` goes to its settings.
    pub fn tenant(&self, more: &str) -> Tenant {
        self.tenant_by(self.http, more)
    }

    /// The same with ARI at another port.
    pub fn tenant_by(&self, port: u16, more: &str) -> Tenant {
        let text = with_port(from_readme("acme.toml"), port).replace("[settings]\n", &format!("[settings]\n{more}\n"));
        Tenant::new("acme", "asterisk").written(&text).file("acme.password", PASSWORD)
    }

    /// The README's tenant whose callers are called back.
    pub fn tenant_that_calls_back(&self) -> Tenant {
        let (port, password) = (self.manager, "{ file = \"acme.password\" }");
        let manager = format!("{{ url = \"tcp://127.0.0.1:{port}\", user = \"jackfield\", password = {password} }}");
        let queue = "[settings.queues.sales]\n";
        let callbacks = from_readme("callbacks.toml").strip_prefix(queue).expect("of the queue");
        let text = with_port(from_readme("acme.toml"), self.http)
            .replace("[settings]\n", &format!("[settings]\nmanager = {manager}\n"))
            .replace(queue, &format!("{queue}{callbacks}"));
        assert!(text.contains(callbacks), "the README has that queue:\n{text}");
        Tenant::new("acme", "asterisk").written(&text).file("acme.password", PASSWORD)
    }

    /// Writes all files into a new folder.
    pub(super) fn configure(&self) {
        let _ = fs::remove_dir_all(&self.folder);
        for folder in ["etc", "run", "log/cdr-csv", "log/cel-custom", "spool/recording", "var"] {
            fs::create_dir_all(self.folder.join(folder)).expect("a folder for Asterisk");
        }
        for (file, text) in [
            ("http.conf", format!("{}{}", with_port(from_readme("http.conf"), self.http), self.encrypted("https.conf", "8089", self.https))),
            ("asterisk.pem", self.certificate.cert.pem()),
            ("asterisk.key", self.certificate.signing_key.serialize_pem()),
            ("ari.conf", format!("{}\n[watcher]\ntype = user\npassword = {PASSWORD}\nread_only = yes\n", from_readme("ari.conf"))),
            ("extensions.conf", self.dialplan()),
            ("manager.conf", self.manager()),
            ("res_parking.conf", from_readme("res_parking.conf").to_owned()),
            ("voicemail.conf", from_readme("voicemail.conf").to_owned()),
            ("queues.conf", from_readme("queues.conf").to_owned()),
            ("pjsip.conf", self.pjsip()),
            ("asterisk.conf", self.folders()),
            ("modules.conf", include_str!("../../asterisk/modules.conf").to_owned()),
            ("logger.conf", "[general]\n[logfiles]\nfull => notice,warning,error,verbose,dtmf\n".to_owned()),
            ("cdr.conf", "[general]\n[csv]\nloguniqueid = yes\nloguserfield = yes\nnewcdrcolumns = yes\n".to_owned()),
            ("cel.conf", "[general]\nenable = yes\nevents = CHAN_START,CHAN_END,ANSWER,BRIDGE_ENTER,BRIDGE_EXIT\n".to_owned()),
            ("cel_custom.conf", CHANNEL_EVENTS.to_owned()),
            ("rtp.conf", "[general]\nrtpstart = 20000\nrtpend = 29999\n".to_owned()),
            ("musiconhold.conf", self.music()),
            ("indications.conf", "[general]\ncountry = us\n[us]\ndescription = US\nringcadence = 2000,4000\nring = 440+480/2000,0/4000\n".to_owned()),
        ] {
            fs::write(self.folder.join("etc").join(file), text).expect("a configuration file");
        }
    }

    fn encrypted(&self, file: &str, usual: &str, port: u16) -> String {
        let lines = from_readme(file);
        assert!(lines.contains(usual) && lines.contains("/etc/asterisk/keys"), "the README names them:\n{lines}");
        let folder = self.folder.join("etc").display().to_string();
        lines.replace(usual, &port.to_string()).replace("/etc/asterisk/keys", &folder)
    }

    fn manager(&self) -> String {
        let lines = from_readme("manager.conf");
        assert!(lines.contains("5038"), "the README names the port:\n{lines}");
        let (general, users) = lines.split_once("\n\n").expect("an empty line behind [general]");
        let encrypted = self.encrypted("manager-tls.conf", "5039", self.manager_tls);
        // One who may do all but write into the database.
        let clerk = format!("[clerk]\nsecret = {PASSWORD}\nwrite = agent,reporting,call\n");
        format!("{general}\n{encrypted}\n{users}\n{clerk}").replace("5038", &self.manager.to_string())
    }

    fn dialplan(&self) -> String {
        let (readme, hints) = (from_readme("extensions.conf"), from_readme("hints.conf"));
        let (agents, mailboxes) = (from_readme("agents.conf"), from_readme("mailboxes.conf"));
        let (parking, phones) = (from_readme("parking.conf"), from_readme("phones.conf"));
        // What only the tests need: a call that was answered by the dialplan, one with a variable, one for an agent.
        format!(
            "{readme}\n\
             exten => 701,1,Answer()\n same => n,Stasis({APPLICATION},queue,sales)\n same => n,Hangup()\n\
             exten => 702,1,Set(CUSTOMER_ID=C-42)\n same => n,Stasis({APPLICATION},queue,sales)\n\
             exten => 703,1,Stasis({APPLICATION},queue,nowhere)\n same => n,Hangup(17)\n\
             exten => 704,1,Stasis({APPLICATION},agent,1001)\n same => n,Hangup(17)\n\
             exten => 705,1,Stasis({APPLICATION}, queue, short)\n same => n,Hangup(17)\n\
             exten => 706,1,Dial(PJSIP/1001)\n same => n,Hangup()\n\
             exten => 707,1,PickupChan(PJSIP/1001-,p)\n same => n,Hangup()\n\
             exten => 708,1,Set(__CUSTOMER_ID=C-42)\n same => n,Queue(support)\n same => n,Hangup(17)\n\
             exten => 709,1,VoiceMail(1001@default,s)\n same => n,Hangup()\n\
             exten => 710,1,Park(default,t(3))\n\
             exten => 601,1,Goto(parkedcalls,601,1)\n\
             exten => 790,1,Stasis(jackfield-other,queue,sales)\n same => n,Hangup(34)\n\
             exten => mail,1,Answer()\n same => n,Wait(600)\n\
             [from-phones]\nexten => 801,1,Dial(PJSIP/801@trunk)\n\
             {hints}\n{agents}\n{mailboxes}\n{parking}\n{phones}\n"
        )
    }

    fn pjsip(&self) -> String {
        let mut text = format!(
            "[global]\ntype = global\nendpoint_identifier_order = username,ip\n\
             [transport]\ntype = transport\nprotocol = udp\nbind = 127.0.0.1:{}\n\n{}\n\
             media_address = 127.0.0.1\nbind_rtp_to_media_address = yes\n",
            self.sip,
            from_readme("pjsip.conf"),
        );
        for (extension, port) in &self.phones {
            let contact = match self.registered {
                true => "max_contacts = 1\nremove_existing = yes".to_owned(),
                false => format!("contact = sip:{extension}@127.0.0.1:{port}"),
            };
            let _ = write!(text, "[{extension}](phone)\naors = {extension}\n[{extension}]\ntype = aor\n{contact}\n");
        }
        // Whoever calls from 127.0.0.1 and is no phone is the trunk.
        let _ = write!(
            text,
            "[trunk](phone)\ncontext = from-trunk\naors = trunk\ndtmf_mode = info\n\
             [trunk]\ntype = aor\ncontact = sip:127.0.0.1:{}\n\
             [trunk]\ntype = identify\nendpoint = trunk\nmatch = 127.0.0.1\n\
             [1099](phone)\naors = 1099\n[1099]\ntype = aor\nmax_contacts = 2\n\
             [1098](phone)\naors = 1098\nrtp_timeout = 5\n[1098]\ntype = aor\nmax_contacts = 1\n",
            self.outside
        );
        text
    }

    fn folders(&self) -> String {
        let root = root().as_ref().expect("installed");
        let own = self.folder.display();
        // Unpacked only, the package of sounds is not linked to as "en".
        let (modules, data) = (libraries(root).join("asterisk/modules"), root.join("usr/share/asterisk"));
        format!(
            "[directories]\nastetcdir => {own}/etc\nastmoddir => {}\nastvarlibdir => {own}/var\nastdbdir => {own}/var\n\
             astkeydir => {own}/var\nastdatadir => {}\nastagidir => {own}/var\nastspooldir => {own}/spool\n\
             astrundir => {own}/run\nastlogdir => {own}/log\n[options]\nverbose = 3\n\
             defaultlanguage = en_US_f_Allison\n",
            modules.display(),
            data.display(),
        )
    }

    fn music(&self) -> String {
        let moh = root().as_ref().expect("installed").join("usr/share/asterisk/moh");
        format!("[default]\nmode = files\ndirectory = {}\n", moh.display())
    }
}
