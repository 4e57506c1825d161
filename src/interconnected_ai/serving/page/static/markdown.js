// Markdown as models write it, made into elements: paragraphs, headings, lists, quotes, code, bold, italic, links.
// Nothing of it is ever read as HTML, and links lead to http and https alone. Time grows with the length of the text.

import { el } from "./dom.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const DEEPEST = 12;

/** The elements of a text. `codeTools(text)` gives what stands above a block of code, such as a button that copies it. */
export function rendered(text, { codeTools = () => null } = {}) {
  return blocks(text.replace(/\r\n?/g, "\n").split("\n"), codeTools, 0);
}

function blocks(lines, codeTools, depth) {
  const found = [];
  let at = 0;
  let paragraph = [];
  const endParagraph = () => {
    if (paragraph.length) found.push(el("p", null, withBreaks(paragraph)));
    paragraph = [];
  };
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    const heading = HEADING.exec(line);
    if (fence) {
      endParagraph();
      const [code, next] = fenced(lines, at, fence[1]);
      found.push(codeBlock(code, fence[2], codeTools));
      at = next;
    } else if (!line.trim()) {
      endParagraph();
      at += 1;
    } else if (heading) {
      endParagraph();
      // the page has headings of its own above, so these begin at the third level
      found.push(el(`h${Math.min(6, heading[1].length + 2)}`, null, inline(heading[2])));
      at += 1;
    } else if (RULE.test(line)) {
      endParagraph();
      found.push(el("hr", null));
      at += 1;
    } else if (QUOTE.test(line) && depth < DEEPEST) {
      endParagraph();
      const inside = [];
      while (at < lines.length && QUOTE.test(lines[at])) inside.push(QUOTE.exec(lines[at++])[1]);
      found.push(el("blockquote", null, blocks(inside, codeTools, depth + 1)));
    } else if (ITEM.test(line) && depth < DEEPEST) {
      endParagraph();
      const [list, next] = listed(lines, at, codeTools, depth);
      found.push(list);
      at = next;
    } else {
      paragraph.push(line.trim());
      at += 1;
    }
  }
  endParagraph();
  return found;
}

function fenced(lines, from, mark) {
  const code = [];
  let at = from + 1;
  while (at < lines.length && !(lines[at].trim().startsWith(mark) && !lines[at].trim().replaceAll(mark[0], ""))) code.push(lines[at++]);
  return [code.join("\n"), at + 1]; // one that is not closed yet goes to the end: it is still being written
}

function codeBlock(code, language, codeTools) {
  const head = el("div", { class: "code-head" }, el("span", null, language), codeTools(code));
  return el("div", { class: "code" }, head, el("pre", { tabindex: "0" }, el("code", null, code)));
}

function listed(lines, from, codeTools, depth) {
  const first = ITEM.exec(lines[from]);
  const indent = first[1].length;
  const isOrdered = /\d/.test(first[2]);
  const items = [];
  let at = from;
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || item[1].length !== indent || /\d/.test(item[2]) !== isOrdered) break;
    const inside = [item[3]];
    const inner = indent + item[2].length + 1;
    at += 1;
    // what belongs to the item is indented; a line without a blank one before it goes on with its paragraph
    while (at < lines.length) {
      const isBlank = !lines[at].trim();
      const spaces = lines[at].length - lines[at].trimStart().length;
      const goesOn = isBlank ? belongs(lines, at + 1, indent) : spaces > indent || (!ITEM.test(lines[at]) && lines[at - 1].trim() && !starts(lines[at]));
      if (!goesOn) break;
      inside.push(lines[at].slice(Math.min(spaces, inner)));
      at += 1;
    }
    items.push(el("li", null, tight(blocks(inside, codeTools, depth + 1))));
    if (at < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1] ?? "")) at += 1;
  }
  const start = Number.parseInt(first[2], 10);
  return [el(isOrdered ? "ol" : "ul", { start: isOrdered && start !== 1 ? start : null }, items), at];
}

function starts(line) {
  return FENCE.test(line) || HEADING.test(line) || QUOTE.test(line) || RULE.test(line);
}

function belongs(lines, at, indent) {
  const line = lines[at];
  return line !== undefined && line.trim() !== "" && line.length - line.trimStart().length > indent;
}

/** An item of one paragraph needs no paragraph around it. */
function tight(nodes) {
  return nodes.length && nodes[0].tagName === "P" ? [...nodes[0].childNodes, ...nodes.slice(1)] : nodes;
}

function withBreaks(lines) {
  return lines.flatMap((line, number) => (number ? [el("br", null), ...inline(line)] : inline(line)));
}

/** Text with code, bold, italic and links. */
function inline(text, depth = 0) {
  const found = [];
  const absent = new Set(); // marks that close nowhere from here on, so that looking again is not needed
  let plain = "";
  let at = 0;
  const flush = () => {
    if (plain) found.push(plain);
    plain = "";
  };
  const closing = (mark, from) => {
    if (absent.has(mark)) return -1;
    const end = text.indexOf(mark, from);
    if (end < 0) absent.add(mark);
    return end;
  };
  while (at < text.length) {
    const piece = depth < DEEPEST ? special(text, at, closing, depth) : null;
    if (piece) {
      flush();
      found.push(piece.node);
      at = piece.end;
    } else if (text[at] === "\\" && /[\\`*_{}[\]()#+.!>~|-]/.test(text[at + 1] ?? "")) {
      plain += text[at + 1];
      at += 2;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  flush();
  return found;
}

const BARE = /https?:\/\/[^\s<>"'`]*[^\s<>"'`.,;:!?)\]*_]/y;
const isWord = (letter) => letter !== undefined && /[\p{L}\p{N}]/u.test(letter);

function special(text, at, closing, depth) {
  const letter = text[at];
  if (letter === "`") {
    let width = 1;
    while (text[at + width] === "`") width += 1;
    const mark = "`".repeat(width);
    const end = closing(mark, at + width);
    return end < 0 ? null : { node: el("code", null, text.slice(at + width, end).trim() || " "), end: end + width };
  }
  if (letter === "*" || letter === "_") {
    const mark = text[at + 1] === letter ? letter + letter : letter;
    const from = at + mark.length;
    if (/\s/.test(text[from] ?? " ") || (letter === "_" && isWord(text[at - 1]))) return null;
    const end = closing(mark, from + 1);
    if (end < 0 || /\s/.test(text[end - 1]) || (letter === "_" && isWord(text[end + mark.length]))) return null;
    return { node: el(mark.length === 2 ? "strong" : "em", null, inline(text.slice(from, end), depth + 1)), end: end + mark.length };
  }
  if (letter === "[") {
    const middle = closing("](", at + 1);
    const end = middle < 0 ? -1 : closing(")", middle + 2);
    const address = end < 0 ? null : safe(text.slice(middle + 2, end).trim().split(/\s/)[0]);
    return address ? { node: link(address, inline(text.slice(at + 1, middle), depth + 1)), end: end + 1 } : null;
  }
  if (letter === "h" && !isWord(text[at - 1])) {
    BARE.lastIndex = at;
    const bare = BARE.exec(text);
    const address = bare && safe(bare[0]);
    return address ? { node: link(address, bare[0]), end: at + bare[0].length } : null;
  }
  return null;
}

function safe(address) {
  const url = URL.canParse(address) ? new URL(address) : null;
  return url && (url.protocol === "http:" || url.protocol === "https:") ? url.href : null;
}

function link(href, children) {
  return el("a", { href, target: "_blank", rel: "noopener noreferrer" }, children);
}
