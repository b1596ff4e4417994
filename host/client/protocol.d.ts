// The session protocol's types, made from its schemas (host/protocol/schema) by tests/desktops/types.js. Do not edit.
// What a newer host adds is not in them; a client ignores what it does not know.

/**
 * The type of a channel.
 */
export type ChannelType = "Telephony" | "Chat" | "Email";
/**
 * The kinds of lists.
 */
export type ListKind = "reasons" | "dispositions" | "queues" | "groups" | "endpoints" | "destinations";
/**
 * How a supervisor takes part in a colleague's call. Since 1.1.
 */
export type SupervisionMode = "listen" | "whisper" | "barge";
/**
 * What a destination is.
 */
export type DestinationType = "colleague" | "queue" | "external" | "book";
/**
 * A moment: milliseconds since 1970-01-01T00:00:00Z, written as a number.
 */
export type Timestamp = number;
/**
 * How a colleague is.
 */
export type PresenceState = "READY" | "NOTREADY" | "ACW" | "BUSY" | "OFFLINE";
/**
 * Whether the agent takes contacts on a channel.
 */
export type Availability = "READY" | "NOTREADY" | "ACW";
/**
 * What a conversation is for.
 */
export type Role = "primary" | "consult";
/**
 * Why an interaction failed.
 */
export type Cause = "busy" | "noanswer" | "unreachable" | "cancelled";
/**
 * Why an interaction or a conversation ended.
 */
export type Reason = "released" | "rejected" | "transferred" | "abandoned" | "redirected" | "lost" | "failed";
/**
 * Who a member is.
 */
export type MemberRole = "customer" | "agent" | "external";
/**
 * Who began an interaction.
 */
export type Direction = "inbound" | "outbound" | "internal";
/**
 * The state of an interaction.
 */
export type InteractionState = "ALERTING" | "DIALING" | "STARTED" | "ENDED" | "COMPLETED";
/**
 * Why a session ended without a logout.
 */
export type DisposedReason =
  | {
      reason: "replaced";
    }
  | {
      reason: "expired";
    }
  | {
      reason: "ended_by_operator";
    }
  | {
      reason: "tenant_removed";
    }
  | {
      reason: "shutting_down";
      /**
       * After how many seconds a log-in is worth a try.
       */
      retryAfter: number;
    }
  | {
      reason: "adapter_failed";
    };
/**
 * Whether the link to the platform is up.
 */
export type LinkWord = "up" | "down";
/**
 * How many calls an interaction has.
 */
export type Calls = "SINGLE" | "CONSULT" | "CONFERENCE";
/**
 * The state of a channel.
 */
export type ChannelState = "INACTIVE" | "ACTIVE" | "UNAVAILABLE";
/**
 * The state of a conversation.
 */
export type ConversationState = "ALERTING" | "DIALING" | "TALKING" | "HELD" | "ENDED";
/**
 * Whether a group has channels.
 */
export type GroupState = "EMPTY" | "POPULATED";
/**
 * The state of an object, with what goes with it.
 */
export type ObjectState =
  | {
      /**
       * Whether it has channels.
       */
      state: GroupState;
      /**
       * The commands that would not fail with `invalid_state` now, where session.start asked for them.
       */
      actions?: string[];
      /**
       * Since when it holds; of a group nobody asks.
       */
      since?: Timestamp;
    }
  | {
      /**
       * Whether the agent takes contacts on it; none where it is not active.
       */
      availability?: Availability;
      /**
       * Its state.
       */
      state: ChannelState;
      /**
       * The commands that would not fail with `invalid_state` now, where session.start asked for them.
       */
      actions?: string[];
      /**
       * Since when it holds; of a group nobody asks.
       */
      since?: Timestamp;
    }
  | {
      /**
       * How many calls it has; none where there are no calls.
       */
      calls?: Calls;
      /**
       * The disposition that was set.
       */
      disposition?: string;
      /**
       * Whether it is recorded; only of a call.
       */
      recording?: Recording;
      /**
       * Its state.
       */
      state: InteractionState;
      /**
       * It lets the agent hear a colleague's call: whose, and how.
       */
      supervises?: Supervision;
      /**
       * The commands that would not fail with `invalid_state` now, where session.start asked for them.
       */
      actions?: string[];
      /**
       * Since when it holds; of a group nobody asks.
       */
      since?: Timestamp;
    }
  | {
      /**
       * Whether the agent is muted.
       */
      muted: boolean;
      /**
       * Its state.
       */
      state: ConversationState;
      /**
       * The commands that would not fail with `invalid_state` now, where session.start asked for them.
       */
      actions?: string[];
      /**
       * Since when it holds; of a group nobody asks.
       */
      since?: Timestamp;
    };
/**
 * Whether an interaction is recorded.
 */
export type Recording = "OFF" | "ON" | "PAUSED";
/**
 * A failure code of the protocol. The set is open: a newer host or plugin may know more. A code that this version does not know is read as AdapterFailed.
 */
export type Code =
  | "bad_request"
  | "unknown_command"
  | "not_found"
  | "invalid_state"
  | "unsupported"
  | "unauthorized"
  | "forbidden"
  | "conflict"
  | "rate_limited"
  | "quota_exceeded"
  | "rejected"
  | "unreachable"
  | "busy"
  | "timeout"
  | "link_down"
  | "shutting_down"
  | "internal"
  | "adapter_failed";

/**
 * An object by its id.
 */
export interface ById {
  /**
   * The id.
   */
  id: string;
}
/**
 * The options of `activate`; all of them go to the platform.
 */
export interface ActivateOptions {
  /**
   * The queue to take contacts from.
   */
  queue?: string;
  [k: string]: unknown;
}
/**
 * The options of `deactivate`.
 */
export interface DeactivateOptions {
  /**
   * The queues to leave: one, or a list.
   */
  queue?: string | string[];
  /**
   * The platform's code for the reason.
   */
  reason?: number | string;
}
/**
 * The options of one channel of a group; all of them go to the platform.
 */
export interface OneChannel {
  /**
   * The channel's id.
   */
  id: string;
  /**
   * The queue to take contacts from.
   */
  queue?: string;
  [k: string]: unknown;
}
/**
 * Who an agent is, and how he proves it.
 */
export interface Credentials {
  /**
   * The platform's name of the agent.
   */
  id: string;
  /**
   * May be empty where the platform asks for none.
   */
  password: string;
}
/**
 * A channel to be added.
 */
export interface NewChannel {
  /**
   * The extension, station or address.
   */
  endpoint: string;
  /**
   * Its type.
   */
  type: ChannelType;
}
/**
 * A group to be added.
 */
export interface NewGroup {
  /**
   * Call-back channels too.
   */
  callback?: boolean;
  /**
   * Chat channels too.
   */
  chat?: boolean;
  /**
   * E-mail channels too.
   */
  email?: boolean;
  /**
   * The platform's name of it.
   */
  name: string;
}
/**
 * What is called.
 */
export interface Address {
  /**
   * The number or address, as `dial` takes it.
   */
  address: string;
  /**
   * Which it is of several.
   */
  label?: string;
}
/**
 * An entry of a list. Its id is unique in its list, at all levels; which other members it has depends on the kind.
 */
export interface ListEntry {
  /**
   * Of destinations: what `dial`, `consult` and their like take; the first is the one to take where there are several.
   */
  addresses?: Address[];
  /**
   * Of queues and endpoints: the type of channel that it is for.
   */
  channelType?: ChannelType;
  /**
   * What else the platform tells, in its own words.
   */
  data?: {
    /**
     * Any value.
     */
    [k: string]: unknown;
  };
  /**
   * What commands take, see ListKind.
   */
  id: string;
  /**
   * Of endpoints: someone has it now.
   */
  inUse?: boolean;
  /**
   * What a desktop shows; without it the id.
   */
  name?: string;
  /**
   * Of colleagues: whether they can be reached.
   */
  presence?: Presence;
  /**
   * Of queues: how many agents would take a contact now.
   */
  ready?: number;
  /**
   * Of destinations: what it is.
   */
  type?: DestinationType;
  /**
   * Of queues: how many contacts wait.
   */
  waiting?: number;
  /**
   * Of queues: when the contact that has waited longest began to.
   */
  waitingSince?: Timestamp;
}
/**
 * Whether a colleague can be reached.
 */
export interface Presence {
  /**
   * Why not: the platform's code.
   */
  reasoncode?: string;
  /**
   * Why not, in words.
   */
  reasondesc?: string;
  /**
   * Since when.
   */
  since?: Timestamp;
  /**
   * Whether.
   */
  state: PresenceState;
}
/**
 * What never changes of a channel.
 */
export interface ChannelCard {
  /**
   * The extension, address or station.
   */
  endpoint?: string;
  /**
   * Its id.
   */
  id: string;
  /**
   * What a desktop shows.
   */
  name?: string;
  /**
   * Its type.
   */
  type: ChannelType;
}
/**
 * All details of a channel beside its state.
 */
export interface ChannelDetails {
  /**
   * Whether the agent takes contacts.
   */
  availability?: Availability;
  /**
   * Whether an interaction is alerting, dialing or started.
   */
  occupied: boolean;
  /**
   * What will hold after the current call.
   */
  pending?: PendingDetails;
  /**
   * The queue or queues that it takes contacts from.
   */
  queue?: string;
  /**
   * Why not, as the platform's code.
   */
  reasoncode?: string;
  /**
   * Why not, in words.
   */
  reasondesc?: string;
}
/**
 * What will hold of a channel after the current call.
 */
export interface PendingDetails {
  /**
   * Whether the agent will take contacts.
   */
  availability: Availability;
  /**
   * Why not, as the platform's code.
   */
  reasoncode?: string;
  /**
   * Why not, in words.
   */
  reasondesc?: string;
}
/**
 * What never changes of a group.
 */
export interface GroupCard {
  /**
   * Its id.
   */
  id: string;
  /**
   * What a desktop shows.
   */
  name?: string;
}
/**
 * What never changes of a conversation.
 */
export interface ConversationCard {
  /**
   * Its id.
   */
  id: string;
  /**
   * What it is for.
   */
  role: Role;
}
/**
 * A party of a conversation.
 */
export interface MemberCard {
  /**
   * The number or address.
   */
  address?: string;
  /**
   * It waits while the others go on.
   */
  held?: boolean;
  /**
   * Its id.
   */
  id: string;
  /**
   * The others do not hear it, because one of them wanted that.
   */
  muted?: boolean;
  /**
   * The name.
   */
  name?: string;
  /**
   * Who it is.
   */
  role: MemberRole;
}
/**
 * What never changes of an interaction.
 */
export interface InteractionCard {
  /**
   * Who began it.
   */
  direction: Direction;
  /**
   * Its id.
   */
  id: string;
  /**
   * The type of its channel.
   */
  type: ChannelType;
}
/**
 * An object by its id.
 */
export interface Reference {
  /**
   * The id.
   */
  id: string;
}
/**
 * An interaction as it is shown to the agent.
 */
export interface Shown {
  /**
   * The interaction.
   */
  interaction: ShownInteraction;
  /**
   * The address that the desktop should open.
   */
  url?: string;
}
/**
 * What is shown of an interaction.
 */
export interface ShownInteraction {
  /**
   * Its call data.
   */
  data: {
    /**
     * Any value.
     */
    [k: string]: unknown;
  };
  /**
   * Who began it.
   */
  direction: Direction;
  /**
   * Its id.
   */
  id: string;
  /**
   * Its state.
   */
  state: InteractionState;
  /**
   * The type of its channel.
   */
  type: ChannelType;
}
/**
 * What a session can do.
 */
export interface CapabilityList {
  /**
   * The types of channel that it can have.
   */
  channelTypes: ChannelType[];
  /**
   * The names of its commands.
   */
  commands: string[];
  /**
   * The lists that it has.
   */
  lists?: ListDeclaration[];
}
/**
 * A kind of list that an adapter has, as its manifest says so.
 */
export interface ListDeclaration {
  /**
   * Which.
   */
  kind: ListKind;
  /**
   * It can be watched.
   */
  watch?: boolean;
}
/**
 * What has changed in a list that is watched.
 */
export interface ListChange {
  /**
   * Entries that are new or tell something else than before, each whole.
   */
  changed?: ListEntry[];
  /**
   * Which list.
   */
  kind: ListKind;
  /**
   * What has changed is not known, or too much to be told: the list is to be read anew.
   */
  reload?: boolean;
  /**
   * The ids of entries that are gone.
   */
  removed?: string[];
}
/**
 * Whose call an interaction lets its agent hear, and how. Since 1.1.
 */
export interface Supervision {
  /**
   * The colleague, by the name that he logs in with.
   */
  agent: string;
  /**
   * How the supervisor takes part.
   */
  mode: SupervisionMode;
}
/**
 * The data of each command.
 */
export interface CommandData {
  /**
   * come back to a session
   */
  bindSession: {
    /**
     * The number of the last event that the client has handled.
     */
    after?: number;
    /**
     * The session.
     */
    session: ById;
  };
  /**
   * log the agent in on a channel
   */
  "channel.request.activate": {
    channelOptions?: ActivateOptions;
    channeloptions?: ActivateOptions;
  };
  /**
   * log the agent out on a channel
   */
  "channel.request.deactivate": {
    channelOptions?: DeactivateOptions;
    channeloptions?: DeactivateOptions;
  };
  /**
   * place a call
   */
  "channel.request.dial": {
    /**
     * The number or address.
     */
    destination: string;
    /**
     * The platform's own options, among them the answer to `needinfo`.
     */
    extensions?: Record<string, unknown>;
  };
  /**
   * take no contacts
   */
  "channel.request.notready": {
    /**
     * The platform's code, or `acw` for after-call work.
     */
    reasoncode: string | number;
    /**
     * In words, for the record.
     */
    reasondesc?: string;
  };
  /**
   * take contacts
   */
  "channel.request.ready": Record<string, never>;
  /**
   * activate each channel of a group
   */
  "channelgroup.request.activateall": {
    /**
     * Options of some of the channels; the others are activated without.
     *
     * @maxItems 128
     */
    channelOptions?: OneChannel[];
    /**
     * Options of some of the channels; the others are activated without.
     *
     * @maxItems 128
     */
    channeloptions?: OneChannel[];
  };
  /**
   * deactivate each channel of a group
   */
  "channelgroup.request.deactivateall": Record<string, never>;
  /**
   * answer a ringing call
   */
  "conversation.request.answer": Record<string, never>;
  /**
   * call a number into the call
   */
  "conversation.request.blindconference": {
    /**
     * The number or address.
     */
    destination: string;
  };
  /**
   * hand the call to a number
   */
  "conversation.request.blindtransfer": {
    /**
     * The number or address.
     */
    destination: string;
  };
  /**
   * hold a call
   */
  "conversation.request.hold": Record<string, never>;
  /**
   * let a member of a conference wait
   */
  "conversation.request.member.hold": {
    /**
     * The member.
     */
    member: ById;
  };
  /**
   * let the others of a conference not hear a member
   */
  "conversation.request.member.mute": {
    /**
     * The member.
     */
    member: ById;
  };
  /**
   * take a member out of a conference
   */
  "conversation.request.member.remove": {
    /**
     * The member.
     */
    member: ById;
  };
  /**
   * bring a member back that waits
   */
  "conversation.request.member.retrieve": {
    /**
     * The member.
     */
    member: ById;
  };
  /**
   * let the others hear a member again
   */
  "conversation.request.member.unmute": {
    /**
     * The member.
     */
    member: ById;
  };
  /**
   * mute the agent
   */
  "conversation.request.mute": Record<string, never>;
  /**
   * leave a call
   */
  "conversation.request.release": Record<string, never>;
  /**
   * go on with a held call
   */
  "conversation.request.retrieve": Record<string, never>;
  /**
   * send tones
   */
  "conversation.request.senddtmf": {
    /**
     * The tones.
     */
    digits: string;
  };
  /**
   * unmute the agent
   */
  "conversation.request.unmute": Record<string, never>;
  /**
   * take what is offered
   */
  "interaction.request.accept": Record<string, never>;
  /**
   * hold one call and retrieve the other
   */
  "interaction.request.alternate": Record<string, never>;
  /**
   * be done with the contact
   */
  "interaction.request.complete": Record<string, never>;
  /**
   * hold the call and call somebody for advice
   */
  "interaction.request.consult": {
    /**
     * The number or address.
     */
    destination: string;
  };
  /**
   * bring the consulted party in
   */
  "interaction.request.consultconference": Record<string, never>;
  /**
   * connect the two others and leave
   */
  "interaction.request.consulttransfer": Record<string, never>;
  /**
   * interrupt recording
   */
  "interaction.request.recording.pause": Record<string, never>;
  /**
   * go on recording
   */
  "interaction.request.recording.resume": Record<string, never>;
  /**
   * begin to record
   */
  "interaction.request.recording.start": Record<string, never>;
  /**
   * end recording
   */
  "interaction.request.recording.stop": Record<string, never>;
  /**
   * refuse what is offered
   */
  "interaction.request.reject": Record<string, never>;
  /**
   * note how the contact ended
   */
  "interaction.request.setdisposition": {
    /**
     * The disposition's text.
     */
    disposition: string;
  };
  /**
   * set an entry of the call data
   */
  "interaction.request.setinteractiondata": {
    /**
     * The entry.
     */
    key: string;
    /**
     * Any value.
     */
    value: unknown;
  };
  /**
   * ask for a session of an agent
   */
  prepareSession: {
    /**
     * Who the agent is.
     */
    agent: Credentials;
    /**
     * The kind of desktop.
     */
    model?: string;
    /**
     * A live session of the agent is replaced.
     */
    override?: boolean;
  };
  /**
   * add a channel to the session
   */
  "session.request.addchannel": {
    /**
     * The channel.
     */
    channel: NewChannel;
  };
  /**
   * add a group with its channels
   */
  "session.request.addchannelgroup": {
    /**
     * The group.
     */
    channelgroup: NewGroup;
  };
  /**
   * let a colleague take no contacts
   */
  "session.request.colleague.notready": {
    /**
     * The colleague: the id of an entry of the list `destinations`, or the name that he logs in with.
     */
    agent: string;
    /**
     * The platform's code.
     */
    reasoncode: string | number;
    /**
     * In words, for the record.
     */
    reasondesc?: string;
  };
  /**
   * let a colleague take contacts again
   */
  "session.request.colleague.ready": {
    /**
     * The colleague: the id of an entry of the list `destinations`, or the name that he logs in with.
     */
    agent: string;
  };
  /**
   * read a list for a menu
   */
  "session.request.list": {
    /**
     * `next` of the page before.
     */
    after?: string;
    /**
     * Which list.
     */
    kind: ListKind;
    /**
     * How many entries at most.
     */
    limit?: number;
    /**
     * What entries are to contain.
     */
    query?: string;
    /**
     * The id of an entry, or, of dispositions, the target of an interaction.
     */
    under?: string;
  };
  /**
   * end the session
   */
  "session.request.logout": Record<string, never>;
  /**
   * remove a standalone channel
   */
  "session.request.removechannel": {
    /**
     * The channel.
     */
    channel: ById;
  };
  /**
   * remove a group with its channels
   */
  "session.request.removechannelgroup":
    | {
        /**
         * The group.
         */
        channel: ById;
        /**
         * The group.
         */
        channelgroup?: ById;
      }
    | {
        /**
         * The group.
         */
        channel?: ById;
        /**
         * The group.
         */
        channelgroup: ById;
      };
  /**
   * hear a colleague's call, speak to him alone, or to all
   */
  "session.request.supervise": {
    /**
     * The colleague: the id of an entry of the list `destinations`, or the name that he logs in with.
     */
    agent: string;
    /**
     * How to take part.
     */
    mode: SupervisionMode;
  };
  /**
   * be told it no more
   */
  "session.request.unwatch": {
    /**
     * Which list.
     */
    kind: ListKind;
  };
  /**
   * be told what changes in a list
   */
  "session.request.watch": {
    /**
     * Which list.
     */
    kind: ListKind;
  };
  /**
   * begin the session; a snapshot follows
   */
  "session.start": {
    /**
     * Whether the desktop wants to be told which commands an object is in a state for.
     */
    actions?: boolean;
    /**
     * The extension or station that the agent works at.
     */
    extension?: string;
  };
}
/**
 * The data of a command's success, where they are not those of the command.
 */
export interface AnswerData {
  bindSession: {
    /**
     * What follows: the events that the client has missed, or a snapshot for which it drops what it has.
     */
    replay: "events" | "snapshot";
    /**
     * The number of the event before the next one.
     */
    seq: number;
  };
  prepareSession: {
    session: {
      /**
       * The session: the first word of every target in it.
       */
      id: string;
    };
  };
  /**
   * What a list is answered with.
   */
  "session.request.list": {
    /**
     * No more than were asked for.
     */
    entries: ListEntry[];
    /**
     * What to go on after; none: that was all.
     */
    next?: string;
    /**
     * The number of the last event before it: changes with larger numbers came later.
     */
    seq: number;
  };
}
/**
 * The data of each event.
 */
export interface EventData {
  "channel.created": {
    /**
     * The channel.
     */
    channel: ChannelCard;
  };
  "channel.disposed": Record<string, unknown>;
  "channel.infochanged": {
    /**
     * The details.
     */
    channel: ChannelDetails;
  };
  "channel.initialized": Record<string, unknown>;
  "channelgroup.created": {
    /**
     * The group.
     */
    channelgroup: GroupCard;
  };
  "channelgroup.disposed": Record<string, unknown>;
  "channelgroup.initialized": Record<string, unknown>;
  "conversation.created": {
    /**
     * The conversation.
     */
    conversation: ConversationCard;
  };
  "conversation.disposed": {
    /**
     * Why it failed.
     */
    cause?: Cause;
    /**
     * Why it ended.
     */
    reason?: Reason;
  };
  "conversation.initialized": Record<string, unknown>;
  "conversation.member.added": {
    /**
     * The party.
     */
    member: MemberCard;
  };
  "conversation.member.changed": {
    /**
     * The party.
     */
    member: MemberCard;
  };
  "conversation.member.removed": {
    /**
     * The party.
     */
    member: MemberCard;
  };
  "interaction.complete": Record<string, unknown>;
  "interaction.created": {
    /**
     * The interaction.
     */
    interaction: InteractionCard;
  };
  "interaction.datachanged": {
    /**
     * The entries that were set.
     */
    data: {
      /**
       * Any value.
       */
      [k: string]: unknown;
    };
  };
  "interaction.disposed": Record<string, unknown>;
  "interaction.ended": {
    /**
     * Why it failed.
     */
    cause?: Cause;
    /**
     * Why it ended.
     */
    reason: Reason;
  };
  "interaction.focuschanged": {
    /**
     * The conversation that has it; none has where calls were transferred away.
     */
    conversation: Reference | null;
  };
  "interaction.initialized": Record<string, unknown>;
  "interaction.preview": Shown;
  "interaction.screenpop": Shown;
  "session.disposed": DisposedReason;
  "session.initialized": {
    /**
     * What the session can do.
     */
    capabilities: CapabilityList;
  };
  "session.linkchanged": {
    /**
     * Whether it is up.
     */
    link: LinkWord;
    /**
     * Why it is down.
     */
    reason?: string;
  };
  "session.listchanged": ListChange;
  "state.updated": ObjectState;
}
