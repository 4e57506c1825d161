// Elements made of tags, attributes and text. Text is only ever text: nothing here reads HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes: `class`, `on…` (a listener), `style` (an object), `dataset`, true, false or null. */
export function el(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Put these children in the place of those that are there. */
export function replace(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) set(node, name, value);
  append(node, children);
  return node;
}

function set(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) {
    node.addEventListener(name.slice(2), value);
  } else if (name === "style") {
    // through the object model, since a style attribute is refused by the page's policy
    for (const [property, each] of Object.entries(value)) {
      if (property.startsWith("--")) node.style.setProperty(property, each);
      else node.style[property] = each;
    }
  } else if (name === "dataset") {
    Object.assign(node.dataset, value);
  } else if (name === "value") {
    node.value = value;
  } else {
    node.setAttribute(name, value === true ? "" : value);
  }
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === true) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}
