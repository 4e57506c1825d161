// The beginning of a table, to be shown and to choose columns from. The server reads it by its own rules.

/** Header and rows of text in CSV; what stands behind the last line end may be cut off, and is left out. */
export function firstRows(text) {
  const clean = text.replace(/^\uFEFF/, "");
  const delimiter = likeliest(clean.split(/\r?\n/, 1)[0]);
  const rows = parsed(clean, delimiter).filter((row) => row.some((cell) => cell.trim()));
  return { header: (rows[0] ?? []).map((title) => title.trim()), rows: rows.slice(1) };
}

function likeliest(line) {
  const counted = [",", ";", "\t", "|"].map((mark) => [line.split(mark).length, mark]);
  return counted.reduce((best, each) => (each[0] > best[0] ? each : best))[1];
}

function parsed(text, delimiter) {
  const rows = [];
  let row = [], cell = "", isQuoted = false;
  for (let place = 0; place < text.length; place++) {
    const letter = text[place];
    if (isQuoted) {
      if (letter !== '"') cell += letter;
      else if (text[place + 1] === '"') cell += text[++place];
      else isQuoted = false;
    } else if (letter === '"' && cell === "") isQuoted = true;
    else if (letter === delimiter) { row.push(cell); cell = ""; }
    else if (letter === "\n") { rows.push([...row, cell.replace(/\r$/, "")]); row = []; cell = ""; }
    else cell += letter;
  }
  if (!isQuoted && (row.length || cell)) rows.push([...row, cell]);
  return rows;
}
