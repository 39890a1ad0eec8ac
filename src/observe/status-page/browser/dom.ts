/** Elements of the page. All text goes in as text: whatever a member or a name says, it is never markup. */

export type Attributes = Readonly<Record<string, string | number>>;

/** An element of the page's markup. @throws Error when there is none of this name */
export function byId(id: string): HTMLElement {
  const found = document.querySelector<HTMLElement>(`#${id}`);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  setAttributes(made, attributes);
  made.append(...children);
  return made;
}

export function drawing<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[Tag] {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(made, attributes);
  made.append(...children);
  return made;
}

export function setAttributes(of: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    const text = String(value);
    if (of.getAttribute(name) !== text) of.setAttribute(name, text);
  }
}

/** Leaves what says the same already: a screen reader would begin anew. */
export function setText(of: Element, text: string): void {
  if (of.textContent !== text) of.textContent = text;
}
