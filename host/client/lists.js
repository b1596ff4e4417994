// The lists that a desktop watches: reasons, dispositions, queues, groups, endpoints, destinations.
//
// Owns: what a watched list holds, read page by page and kept as the host tells its changes. Must never: know a
// connection, or take what is older for what is newer. Pages and changes come from jackfield-client.js.

const PAGE = 200;
/** No menu is longer; what is behind is found by a search. */
const MOST = 5_000;

/** A list that is watched: `entries` are always up to date. Made by `session.watch`. */
export class WatchedList {
  #held = new Map();
  /** Changes that come while the list is being read. */
  #changes = [];
  #reading = null;
  #again = false;
  #read;
  #onchange;
  #stop;

  /** `read`: gives a page; `onchange`: called at every change; `stop`: ends the watch. */
  constructor(kind, { read, onchange, stop }) {
    this.kind = kind;
    [this.#read, this.#onchange, this.#stop] = [read, onchange, stop];
  }

  get entries() { return [...this.#held.values()].map(({ entry }) => entry); }

  get(id) { return this.#held.get(id)?.entry; }

  /** Nothing is told any more, once everybody who watches it has stopped. */
  stop() { return this.#stop(); }

  /** Takes in what the host tells of it. */
  change(seq, data) {
    if (data.reload) return this.reload().catch(() => { /* The link is lost again: it is told when it is back. */ });
    if (this.#reading) return this.#changes.push([seq, data]);
    this.#apply(seq, data);
    this.#onchange();
  }

  /** Reads all of it anew. */
  reload() {
    this.#again = this.#reading !== null;
    this.#reading ??= this.#readAll().finally(() => { this.#reading = null; });
    return this.#reading;
  }

  async #readAll() {
    let held;
    do {
      this.#again = false;
      this.#changes = [];
      held = new Map();
      let after;
      do {
        const page = await this.#read(this.kind, { limit: PAGE, after });
        for (const entry of page.entries) held.set(entry.id, { entry, seq: page.seq });
        after = page.next;
      } while (after !== undefined && held.size < MOST);
    } while (this.#again);
    this.#held = held;
    for (const [seq, data] of this.#changes.splice(0)) this.#apply(seq, data);
    this.#onchange();
  }

  #apply(seq, { changed = [], removed = [] }) {
    // A page may have been made later than a change that arrives behind it.
    const isNews = (id) => !(this.#held.get(id)?.seq >= seq);
    for (const entry of changed) if (isNews(entry.id)) this.#held.set(entry.id, { entry, seq });
    for (const id of removed) if (isNews(id)) this.#held.delete(id);
  }
}
