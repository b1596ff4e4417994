// What the platform's lists offer for a field: a reason, a disposition, somebody to call; kept up to date while it is shown.
//
// Must never: stand in the way of what is typed; a list is an offer, and a platform may take more than it lists.

import { h, render } from "./dom.js";

const PRESENCE = {
  READY: ["Ready", "go"], NOTREADY: ["Not ready", "wait"], ACW: ["After-call work", "wait"], BUSY: ["In a contact", "busy"], OFFLINE: ["Offline", "off"],
};
const KINDS = { queue: "Queue", external: "Number", book: "Book" };
/** More are found by typing. */
const SHOWN = 60;

/** What a command takes for an entry: whom one calls has an address, a colleague whom one means is named by the id. */
const valueOf = ({ id, addresses }, kind, only) => (kind === "destinations" && !only ? addresses?.[0]?.address : id);

function about(entry, kind, only) {
  if (entry.presence) {
    const { state, reasondesc, reasoncode } = entry.presence;
    const [word, tone] = PRESENCE[state] ?? [state, "off"];
    return h("span", { class: `chip ${tone}` }, [word, reasondesc ?? reasoncode].filter(Boolean).join(": "));
  }
  if (entry.inUse) return h("span", { class: "chip busy" }, "In use");
  return h("span", { class: "choice-more" }, KINDS[entry.type] ?? (entry.name ? valueOf(entry, kind, only) : ""));
}

/** Shows what a list offers for an input, which a press on an entry fills in; `only`: entries of this type. The answer ends that. */
export async function offer({ session, kind, under, only }, input, place) {
  if (!session.capabilities.lists?.some((list) => list.kind === kind)) return () => {};
  const isWatched = session.capabilities.lists.find((list) => list.kind === kind)?.watch && !under;
  let [entries, ended] = [[], false];
  const matches = ({ id, name = "", addresses = [] }) => {
    const wanted = input.value.toLowerCase();
    return [id, name, ...addresses.map(({ address }) => address)].some((text) => text.toLowerCase().includes(wanted));
  };
  const draw = () => {
    const takes = entries.filter((entry) => (!only || entry.type === only) && (valueOf(entry, kind, only) !== undefined || entry.presence));
    const typed = takes.some((entry) => valueOf(entry, kind, only) === input.value) ? takes : takes.filter(matches);
    render(place, h("ul", { class: "choices offered-list", "aria-label": "Choices" }, typed.slice(0, SHOWN).map((entry) => {
      const value = valueOf(entry, kind, only);
      const press = () => { input.value = value; input.dispatchEvent(new Event("input")); input.focus(); };
      return h("li", { key: entry.id }, h("button", {
        type: "button", class: "choice one-line", disabled: value === undefined, "data-entry": entry.id,
        "aria-pressed": String(value !== undefined && value === input.value), onclick: press,
      }, h("span", null, entry.name ?? entry.id), about(entry, kind, only)));
    })));
  };
  input.addEventListener("input", draw);
  const stops = [() => input.removeEventListener("input", draw)];
  try {
    if (isWatched) {
      const list = await session.watch(kind);
      const look = () => { entries = list.entries; if (!ended) draw(); };
      stops.push(session.on("list", (changed) => { if (changed === list) look(); }), () => list.stop());
      look();
    } else {
      ({ entries } = await session.list(kind, { limit: 200, under }));
      draw();
    }
  } catch {
    // The platform does not give it now: there is still what is typed.
  }
  const end = () => { ended = true; stops.splice(0).forEach((stop) => stop()); };
  if (!place.isConnected) end();
  return end;
}
