/** A table whose rows are kept while what they tell changes, so that whoever reads it is not thrown out. */
import type { Tone } from "../model/endpoints-told.ts";
import { byId, element, setAttributes, setText } from "./dom.ts";

export interface Column {
  readonly title: string;
  /**
   * How it is set: `number` to the right, `narrow` without line breaks, `name` broken where it is long, `reason` wide, `by` only
   * where there are workers.
   */
  readonly set?: "number" | "narrow" | "name" | "reason" | "by";
}

export interface Cell {
  readonly text: string;
  /** Colours the text, and puts a mark before it. */
  readonly tone?: Tone;
}

export interface Row {
  /** Its own among the rows. */
  readonly key: string;
  /** One for each column; the first is the row's heading. */
  readonly cells: readonly (Cell | string)[];
}

export class Table {
  readonly #columns: readonly Column[];
  readonly #body: HTMLElement;
  readonly #rows = new Map<string, HTMLTableRowElement>();

  /** In the table with the elements `#<name>-head` and `#<name>-body`. */
  constructor(name: string, columns: readonly Column[]) {
    this.#columns = columns;
    this.#body = byId(`${name}-body`);
    const headings = columns.map(({ title, set = "" }) => element("th", { scope: "col", class: set }, title));
    byId(`${name}-head`).replaceChildren(element("tr", {}, ...headings));
  }

  /** @param empty what stands there when there is no row */
  show(rows: readonly Row[], empty: string): void {
    const wanted = new Set(rows.map(({ key }) => key));
    for (const [key, row] of this.#rows) {
      if (wanted.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    rows.forEach(({ key, cells }, index) => {
      const row = this.#row(key);
      cells.forEach((cell, column) => showCell(row.cells[column]!, cell));
      if (this.#body.children[index] !== row)
        this.#body.insertBefore(row, this.#body.children[index] ?? null);
    });
    const none = this.#body.querySelector(".none");
    if (rows.length > 0) none?.remove();
    else if (none === null) {
      const cell = element("td", { colspan: this.#columns.length }, empty);
      this.#body.append(element("tr", { class: "none" }, cell));
    }
  }

  #row(key: string): HTMLTableRowElement {
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const cells = this.#columns.map(({ set = "" }, index) =>
      index === 0 ? element("th", { scope: "row", class: set }) : element("td", { class: set }),
    );
    const row = element("tr", {}, ...cells);
    this.#rows.set(key, row);
    return row;
  }
}

function showCell(cell: HTMLTableCellElement, told: Cell | string): void {
  const { text, tone } = typeof told === "string" ? { text: told } : told;
  if (tone === undefined) {
    setText(cell, text);
    return;
  }
  if (cell.children.length !== 2) {
    cell.replaceChildren(element("span", { class: "mark" }), element("span", {}));
  }
  setAttributes(cell.children[0]!, { "data-tone": tone });
  setAttributes(cell.children[1]!, { "data-tone": tone });
  setText(cell.children[1]!, text);
}
