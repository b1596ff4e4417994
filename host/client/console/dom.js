// Drawing: a description of what should be there, and what makes the page so.
//
// Owns: the elements that it made. Must never: interpret a text as markup; every text becomes a text node, every
// attribute is set by its name. Elements with the same key stay the same elements, so that what is being typed and what
// has the focus stay where they are.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Describes an element. `props`: attributes by name; functions are listeners (`onclick`); `key` tells siblings apart;
 * `value` and `checked` are only set when the element is made, since afterwards they are the user's.
 */
export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: children.flat(3).filter((child) => child !== null && child !== undefined && child !== false) };
}

/** Makes the children of `parent` as described. */
export function render(parent, ...children) {
  const back = returnTo(document.activeElement);
  patchChildren(parent, h("", null, children).children);
  if (document.activeElement === document.body) back();
}

/** What puts the focus back to an element, or near to where it was: there a keyboard goes on. */
export function returnTo(focused) {
  const way = [];
  for (let at = focused; at && at !== document.body; at = at.parentElement) way.push(at);
  return () => {
    const there = way.find((element, place) => element.isConnected && (place === 0 ? !element.disabled : element.hasAttribute("tabindex")));
    there?.focus({ preventScroll: true });
  };
}

/** The element that a description describes, made new. */
export function create(node, svg = false) {
  if (typeof node !== "object") return document.createTextNode(String(node));
  svg ||= node.tag === "svg";
  const element = svg ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
  for (const name of ["value", "checked"]) if (name in node.props) element[name] = node.props[name];
  patchProps(element, {}, node.props);
  element.described = node;
  for (const child of node.children) element.append(create(child, svg));
  return element;
}

const keyOf = (node, place) => (typeof node === "object" ? `${node.tag} ${node.props.key ?? place}` : `text ${place}`);

function patchChildren(parent, children, svg = false) {
  const known = new Map();
  [...parent.childNodes].forEach((element, place) => {
    const node = element.described ?? element.data;
    known.set(keyOf(node, place), element);
  });
  let at = parent.firstChild;
  children.forEach((child, place) => {
    const key = keyOf(child, place);
    let element = known.get(key);
    known.delete(key);
    if (element) patch(element, child);
    else element = create(child, svg);
    if (element === at) at = at.nextSibling;
    else parent.insertBefore(element, at);
  });
  for (const element of known.values()) element.remove();
}

function patch(element, node) {
  if (typeof node !== "object") {
    if (element.data !== String(node)) element.data = String(node);
    return;
  }
  patchProps(element, element.described.props, node.props);
  element.described = node;
  // What is drawn by somebody else is left to him.
  if (!node.props.own) patchChildren(element, node.children, element.namespaceURI === SVG);
}

function patchProps(element, before, props) {
  for (const name of Object.keys(before)) if (!(name in props)) set(element, name, undefined);
  for (const [name, value] of Object.entries(props)) if (before[name] !== value) set(element, name, value);
}

function set(element, name, value) {
  if (["key", "own", "value", "checked"].includes(name)) return;
  if (name.startsWith("on")) element[name] = value ?? null;
  else if (value === undefined || value === null || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** One draw a frame, however often it is asked for. */
export function drawer(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    const now = () => { asked = false; draw(); };
    // A page that nobody sees has no frames, but its title still tells of a contact.
    if (document.hidden) setTimeout(now, 50);
    else requestAnimationFrame(now);
  };
}
