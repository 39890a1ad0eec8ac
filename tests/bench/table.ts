/**
 * Text in columns: the first one flush left, the others flush right.
 */

/** Lines of a table. A column that is empty in every row is left out. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const columns = head
    .map((title, column) => ({ title, column, cells: rows.map((row) => row[column] ?? "") }))
    .filter(({ cells }) => cells.some((cell) => cell !== ""))
    .map(({ title, column, cells }) => {
      const width = Math.max(title.length, ...cells.map((cell) => cell.length));
      const align = (text: string): string => (column === 0 ? text.padEnd(width) : text.padStart(width));
      return [title, "-".repeat(width), ...cells].map(align);
    });
  return Array.from({ length: rows.length + 2 }, (_, line) =>
    columns
      .map((column) => column[line] ?? "")
      .join("  ")
      .trimEnd(),
  );
}

/** A number with about three digits that count: 12 345, 123, 12.3, 1.23. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en").replaceAll(",", " ");
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
