// The types of jackfield-client. Names are the session protocol's own (host/docs/protocol.md).

import type {
  AnswerData, Availability, Calls, CapabilityList, ChannelState, ChannelType, Code, CommandData, ConversationState, Direction,
  EventData, GroupState, InteractionState, ListEntry, ListKind, MemberCard, PendingDetails, Recording, Role,
  Supervision,
} from "./protocol.js";

export type { Availability, ChannelType, EventData, ListEntry, ListKind, Supervision } from "./protocol.js";

export type ObjectKind = "session" | "channelgroup" | "channel" | "interaction" | "conversation";

/** Why a command failed: the host's codes, and four of the client's own (see `JackfieldError`). */
export type FailureCode = Code | "disconnected" | "confirm" | "needinfo" | "ended";

/**
 * A command that failed, or a connection that cannot be made. Beside the host's codes:
 * `disconnected` there is no connection, or it was lost before the answer: whether the command was carried out is not
 * known, and the events will tell; `confirm` and `needinfo` nobody answered the question; `ended` the session is over.
 * `connect` itself fails with `bad_request` where one of its options is wrong.
 */
export class JackfieldError extends Error {
  readonly name: "JackfieldError";
  readonly code: FailureCode;
  /** A chain of causes, for whoever debugs. */
  readonly context?: string;
  readonly command?: string;
  readonly target?: string;
}

/** The data of each standard command. What begins a session is `connect`'s. */
export type Commands = Omit<CommandData, "prepareSession" | "bindSession" | "session.start">;

export type CommandName = keyof Commands;
/** The commands of one kind of object: `"hold"` for `"conversation.request.hold"`. */
export type VerbOf<K extends ObjectKind> = CommandName extends infer N ? (N extends `${K}.request.${infer V}` ? V : never) : never;
type DataOf<K extends ObjectKind, V extends VerbOf<K>> = `${K}.request.${V}` extends infer N ? (N extends CommandName ? Commands[N] : never) : never;
/** The data of a command's success. */
export type Success = Record<string, unknown>;
/** Answers to what the platform must know. */
export type Extensions = Record<string, unknown>;
/** `<object>.request.<platform>.<verb…>` */
export type ExtensionName = `${ObjectKind}.request.${string}.${string}`;

/** What every object has. */
interface JackfieldObject<K extends Exclude<ObjectKind, "session">> {
  readonly kind: K;
  readonly id: string;
  /** The dotted path of ids from the session down: the target of its commands. */
  readonly target: string;
  /** Since when its state holds, in milliseconds since 1970 by this machine's clock: `Date.now() - since` is how long. */
  readonly since: number;
  /** The commands that the host would not refuse for the object's state now, by their full names. */
  readonly actions: readonly string[];
  /** It is not there any more; what it tells is what it was last. */
  readonly disposed: boolean;
  /** Whether the command is one of `actions`. */
  can(verb: VerbOf<K>): boolean;
  command<V extends VerbOf<K>>(verb: V, data?: DataOf<K, V>): Promise<Success>;
  /** Sends a command of an adapter's own to this object. */
  extension(name: ExtensionName, data?: Record<string, unknown>): Promise<Success>;
}

export interface ChannelGroup extends JackfieldObject<"channelgroup"> {
  readonly state: GroupState;
  readonly name?: string;
  readonly parent: Session;
  readonly channels: Channel[];
  activateall(data?: Commands["channelgroup.request.activateall"]): Promise<Success>;
  deactivateall(data?: Commands["channelgroup.request.deactivateall"]): Promise<Success>;
}

export interface Channel extends JackfieldObject<"channel"> {
  readonly state: ChannelState;
  readonly type: ChannelType;
  readonly endpoint: string;
  readonly name?: string;
  readonly parent: Session | ChannelGroup;
  readonly group: ChannelGroup | null;
  /** Null where it is not active. */
  readonly availability: Availability | null;
  readonly reasoncode?: string;
  readonly reasondesc?: string;
  readonly queue?: string;
  /** What it will be after the current call. */
  readonly pending: PendingDetails | null;
  /** An interaction is ALERTING, DIALING or STARTED. */
  readonly occupied: boolean;
  readonly interactions: Interaction[];
  activate(data?: Commands["channel.request.activate"]): Promise<Success>;
  deactivate(data?: Commands["channel.request.deactivate"]): Promise<Success>;
  ready(): Promise<Success>;
  notready(data: Commands["channel.request.notready"]): Promise<Success>;
  dial(data: Commands["channel.request.dial"]): Promise<Success>;
}

/** How a contact or a call ended. */
export type Ending = EventData["interaction.ended"];

export interface Interaction extends JackfieldObject<"interaction"> {
  readonly state: InteractionState;
  readonly type: ChannelType;
  readonly direction: Direction;
  readonly parent: Channel;
  readonly channel: Channel;
  readonly calls?: Calls;
  readonly recording?: Recording;
  /** The disposition that was set. */
  readonly disposition?: string;
  /** It lets the agent hear a colleague's call: whose, and how. */
  readonly supervises: Supervision | null;
  /** The call's data, key by key. Replaced by a new object whenever it changes. */
  readonly data: Readonly<Record<string, unknown>>;
  /** The address that the platform wants opened. It comes from outside: check it before opening it. */
  readonly url?: string;
  /** How it ended, once it has. */
  readonly ended: Ending | null;
  readonly conversations: Conversation[];
  readonly focus: Conversation | null;
  accept(): Promise<Success>;
  reject(): Promise<Success>;
  setinteractiondata(data: Commands["interaction.request.setinteractiondata"]): Promise<Success>;
  setdisposition(data: Commands["interaction.request.setdisposition"]): Promise<Success>;
  complete(): Promise<Success>;
  consult(data: Commands["interaction.request.consult"]): Promise<Success>;
  alternate(): Promise<Success>;
  consulttransfer(): Promise<Success>;
  consultconference(): Promise<Success>;
  recordingStart(): Promise<Success>;
  recordingStop(): Promise<Success>;
  recordingPause(): Promise<Success>;
  recordingResume(): Promise<Success>;
}

/** A party of a conversation. The session's own agent is not one. */
export type Member = Readonly<MemberCard>;

export interface Conversation extends JackfieldObject<"conversation"> {
  readonly state: ConversationState;
  readonly role: Role;
  readonly muted: boolean;
  readonly parent: Interaction;
  readonly interaction: Interaction;
  readonly members: Member[];
  /** How it ended, once it is disposed and the contact goes on without it. */
  readonly ended: Ending | null;
  answer(): Promise<Success>;
  release(): Promise<Success>;
  hold(): Promise<Success>;
  retrieve(): Promise<Success>;
  mute(): Promise<Success>;
  unmute(): Promise<Success>;
  senddtmf(data: Commands["conversation.request.senddtmf"]): Promise<Success>;
  blindtransfer(data: Commands["conversation.request.blindtransfer"]): Promise<Success>;
  blindconference(data: Commands["conversation.request.blindconference"]): Promise<Success>;
  /** Of a conference, `{ member: { id } }`: takes one of `members` out. */
  memberRemove(data: Commands["conversation.request.member.remove"]): Promise<Success>;
  memberMute(data: Commands["conversation.request.member.mute"]): Promise<Success>;
  memberUnmute(data: Commands["conversation.request.member.unmute"]): Promise<Success>;
  memberHold(data: Commands["conversation.request.member.hold"]): Promise<Success>;
  memberRetrieve(data: Commands["conversation.request.member.retrieve"]): Promise<Success>;
}

export type AnyObject = ChannelGroup | Channel | Interaction | Conversation;

/** An event of the protocol, as the host sent it. */
export interface ObjectEvent<Name extends string = string> {
  readonly messageType: "objectEvent";
  readonly seq: number;
  readonly target: string;
  readonly name: Name;
  readonly data: Name extends keyof EventData ? EventData[Name] : Record<string, any>;
  /** When the host told it, in milliseconds since 1970; from hosts of protocol 1.1 on. */
  readonly at?: number;
}

/** Why a session is over. */
export type EndReason =
  EventData["session.disposed"]["reason"] | "logout" | "closed" | "failed" | "taken_over" | "not_found";

/** What can be listened to. Beside these, each event of the protocol by its name, snapshots left out. */
export interface Notifications {
  /** Something may look different now: an object, the link or the connection. */
  change: { object?: Session | AnyObject };
  /** An object is there, with all that belongs to it; by an event or by a snapshot. */
  added: AnyObject;
  changed: AnyObject;
  removed: AnyObject;
  /** Every event, those of snapshots included. */
  event: ObjectEvent & { snapshot: boolean };
  /** Every message in either direction, for a log; passwords are left out. */
  message: { direction: "sent" | "received"; message: Record<string, any>; at: number };
  /** `attempt`: how many times it was tried in vain. */
  connection: { state: ConnectionState; reason?: string; attempt?: number };
  /** A session has begun; `again`: in place of one that is gone, so its channels are to be added again. */
  started: { again: boolean };
  /** A list that is watched tells something else now. */
  list: WatchedList;
  end: { reason: EndReason; error?: Error };
}

/** What is wanted of a list: the data of session.request.list but for its kind. */
export type ListOptions = Omit<CommandData["session.request.list"], "kind">;
/** A page of a list, as session.request.list answers it. */
export type ListPage = AnswerData["session.request.list"];

/** A list that is kept up to date. */
export class WatchedList {
  readonly kind: ListKind;
  /** A new array whenever it is asked for. */
  readonly entries: ListEntry[];
  get(id: string): ListEntry | undefined;
  /** Reads all of it anew. */
  reload(): Promise<void>;
  /** It is needed no more; once for each `watch`. */
  stop(): Promise<void>;
}

/** A listener for each name. */
export type Listeners =
  & { [N in keyof Notifications]?: (detail: Notifications[N]) => void }
  & { [N in keyof EventData | ExtensionEvent]?: (event: ObjectEvent<N> & { object?: Session | AnyObject }) => void };

/** An event of an adapter's own: `<object>.<platform>.<what…>` */
export type ExtensionEvent = `${ObjectKind}.${string}.${string}`;

/** `open`: the tree is complete and commands are taken. `closed` is for ever. */
export type ConnectionState = "connecting" | "open" | "reconnecting" | "closed";

export interface ExtensionCommand {
  name: ExtensionName;
  target: ObjectKind;
  /** JSON Schema of its data. */
  data: Record<string, any>;
}

/** One agent at work. */
export interface Session {
  readonly kind: "session";
  readonly id: string;
  readonly target: string;
  readonly tenant: string;
  /** The number of the last event. */
  readonly seq: number;
  readonly connection: ConnectionState;
  /** The host's link to the platform. */
  readonly link: "up" | "down";
  readonly linkReason?: string;
  /** The commands, types of channel and lists that there are, and which of the lists can be watched. */
  readonly capabilities: CapabilityList;
  readonly tree: Tree;
  /** What is to be added to the host's times, such as a presence's `since`, to have this machine's; 0 where clocks agree. */
  readonly clockDifference: number;
  readonly channelgroups: ChannelGroup[];
  /** All channels, those of groups included. */
  readonly channels: Channel[];
  readonly interactions: Interaction[];

  /** The object with a target. The same object for the same target, for as long as it is there. */
  object(target: string): Session | AnyObject | undefined;
  can(verb: VerbOf<"session">): boolean;
  addchannel(data: Commands["session.request.addchannel"]): Promise<Success>;
  removechannel(data: Commands["session.request.removechannel"]): Promise<Success>;
  addchannelgroup(data: Commands["session.request.addchannelgroup"]): Promise<Success>;
  removechannelgroup(data: Commands["session.request.removechannelgroup"]): Promise<Success>;
  /** Lets this agent hear a colleague's call: an interaction that `supervises` comes of it. */
  supervise(data: Commands["session.request.supervise"]): Promise<Success>;
  /** Lets a colleague take contacts again. */
  colleagueReady(data: Commands["session.request.colleague.ready"]): Promise<Success>;
  /** Lets a colleague take no contacts; in a call, after it. */
  colleagueNotready(data: Commands["session.request.colleague.notready"]): Promise<Success>;
  /** One page of a list, as it is now. */
  list(kind: ListKind, options?: ListOptions): Promise<ListPage>;
  /** A list that is kept up to date from now on, also when the connection was lost or the session is another one. */
  watch(kind: ListKind): Promise<WatchedList>;
  /** The same as the list's own `stop`. */
  unwatch(list: WatchedList): Promise<void>;
  /** Ends the session: contacts are given back, calls released. */
  logout(): Promise<void>;
  /** Leaves without logging out: the session waits for its client for a while, and calls go on. */
  close(): void;

  /** Sends a standard command by its full name. Its success may stand before the events that it causes: see `until`. */
  command<N extends CommandName>(name: N, target: string, data?: Commands[N]): Promise<Success>;
  /** Sends a command of an adapter's own; to the session itself where there is no `target`. */
  extension(name: ExtensionName, data?: Record<string, unknown>, target?: string): Promise<Success>;
  /** The commands of the adapter's own, with the schemas of their data. */
  extensions(): Promise<ExtensionCommand[]>;
  /** Waits until `condition` gives something true; rejects with `timeout` (30 s) or `ended`. */
  until<T>(condition: () => T, options?: { timeout?: number }): Promise<Exclude<T, false | null | undefined | 0 | "">>;

  /** Calls `listener` from now on; returns what ends that. */
  on<N extends keyof Listeners>(name: N, listener: NonNullable<Listeners[N]>): () => void;
}

/** The fold of a session's events, without a connection. */
export class Tree {
  constructor(session: string);
  readonly link: "up" | "down";
  readonly initialized: boolean;
  apply(event: ObjectEvent): unknown;
  /** All that it knows as plain data; two trees are equal when their views are. */
  view(): { link: "up" | "down"; objects: Record<string, Record<string, unknown>> };
}

export interface Agent {
  id: string;
  password: string;
}

export interface ConnectOptions {
  /** The host: `https://host.example`, with or without a path in front of `/v1/`. */
  url: string | URL;
  tenant: string;
  /** The API token of a tenant that asks for one, or what fetches it (asked again at every connection). */
  token?: string | (() => string | Promise<string>);
  /** Who logs in. Left out: only the session named by `session` is returned to. */
  agent?: Agent;
  /** A session to return to, as after the page was loaded again; where it is gone, `agent` logs in. */
  session?: { id: string };
  /** The agent's extension, where the platform wants one. */
  extension?: string;
  /** What the desktop calls itself. */
  model?: string;
  /** End a session that the agent has already, unasked. */
  override?: boolean;
  /** The agent has a session already: end it? */
  confirm?(question: { message?: string; agent: string }): boolean | Promise<boolean>;
  /** The platform must know more before it carries a command out. Null: the command fails with `needinfo`. */
  needinfo?(question: NeedInfo): Extensions | null | undefined | Promise<Extensions | null | undefined>;
  /**
   * The session is gone but not by a logout, as after a restart of the host: who logs in again? Null: nobody, it ends.
   * Asked again, with `error`, where that log-in is refused.
   */
  logInAgain?(why: { reason: EndReason; error?: JackfieldError }): Agent | null | Promise<Agent | null>;
  /** Listeners from the first message on. */
  on?: Listeners;
  /** `auto` (default): a WebSocket where there is one and it goes through, else HTTP with an event stream. */
  transport?: "auto" | "websocket" | "sse";
  /** The class of WebSockets, where there is no global one. */
  WebSocket?: new (url: string, protocols: string[]) => any;
  fetch?: typeof fetch;
  /** Milliseconds: after how much silence the host is asked for a sign of life, and how long that may take. */
  heartbeat?: { silence?: number; answer?: number };
}

export interface NeedInfo {
  command: string;
  target: string;
  data: Record<string, any>;
  uiExtension: { id: string; [more: string]: any };
  object: Session | AnyObject;
}

/** Logs an agent in at a host, or returns to a session. Resolves once the session's tree is complete. */
export function connect(options: ConnectOptions): Promise<Session>;
