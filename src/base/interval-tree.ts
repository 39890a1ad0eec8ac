/**
 * Half-open intervals of byte strings in a balanced search tree: AVL, ordered by start and then widest first,
 * each node knowing the largest end below it.
 *
 * Nodes never change. A change makes new nodes on the way from the root, so whoever walks a tree sees it as it
 * was when the walk began. An end of null lies behind every string.
 */

/** One interval, [start, end), with the tree of those around it. `null` is the empty tree. */
export interface IntervalNode<Value> {
  readonly start: string;
  readonly end: string | null;
  readonly value: Value;
  readonly left: IntervalNode<Value> | null;
  readonly right: IntervalNode<Value> | null;
  /** The largest end in this tree. */
  readonly endMax: string | null;
  /** Nodes on the longest way down. */
  readonly height: number;
}

type Tree<Value> = IntervalNode<Value> | null;

/** True when an interval that ends at `end` reaches as far as one that ends at `other`. */
function reaches(end: string | null, other: string | null): boolean {
  return end === null || (other !== null && end >= other);
}

/** The order of the tree: by start, then the one that ends last first. */
function isBefore(start: string, end: string | null, node: IntervalNode<unknown>): boolean {
  return start === node.start ? end !== node.end && reaches(end, node.end) : start < node.start;
}

function heightOf(tree: Tree<unknown>): number {
  return tree === null ? 0 : tree.height;
}

/** The interval of `at` over other subtrees, which differ in height by one at most. */
function join<Value>(at: IntervalNode<Value>, left: Tree<Value>, right: Tree<Value>): IntervalNode<Value> {
  let endMax = at.end;
  if (left !== null && reaches(left.endMax, endMax)) endMax = left.endMax;
  if (right !== null && reaches(right.endMax, endMax)) endMax = right.endMax;
  const height = Math.max(heightOf(left), heightOf(right)) + 1;
  return { start: at.start, end: at.end, value: at.value, left, right, endMax, height };
}

/** As `join`, for subtrees that differ by two at most, as they do after one interval came or went. */
function balanced<Value>(
  at: IntervalNode<Value>,
  left: Tree<Value>,
  right: Tree<Value>,
): IntervalNode<Value> {
  const lean = heightOf(left) - heightOf(right);
  if (left !== null && lean > 1) {
    const inner = left.right;
    if (inner === null || heightOf(left.left) >= inner.height) {
      return join(left, left.left, join(at, inner, right));
    }
    return join(inner, join(left, left.left, inner.left), join(at, inner.right, right));
  }
  if (right !== null && lean < -1) {
    const inner = right.left;
    if (inner === null || heightOf(right.right) >= inner.height) {
      return join(right, join(at, left, inner), right.right);
    }
    return join(inner, join(at, left, inner.left), join(right, inner.right, right.right));
  }
  return join(at, left, right);
}

/** `tree` with [start, end) at `value`, in place of the value that this interval had. */
export function inserted<Value>(
  tree: Tree<Value>,
  start: string,
  end: string | null,
  value: Value,
): IntervalNode<Value> {
  if (tree === null) return { start, end, value, left: null, right: null, endMax: end, height: 1 };
  if (start === tree.start && end === tree.end) return { ...tree, value };
  return isBefore(start, end, tree)
    ? balanced(tree, inserted(tree.left, start, end, value), tree.right)
    : balanced(tree, tree.left, inserted(tree.right, start, end, value));
}

/** `tree` without [start, end); `tree` itself when that is not in it. */
export function removed<Value>(tree: Tree<Value>, start: string, end: string | null): Tree<Value> {
  if (tree === null) return null;
  if (start === tree.start && end === tree.end) {
    if (tree.left === null) return tree.right;
    if (tree.right === null) return tree.left;
    const next = firstOf(tree.right);
    return balanced(next, tree.left, removed(tree.right, next.start, next.end));
  }
  if (isBefore(start, end, tree)) {
    const left = removed(tree.left, start, end);
    return left === tree.left ? tree : balanced(tree, left, tree.right);
  }
  const right = removed(tree.right, start, end);
  return right === tree.right ? tree : balanced(tree, tree.left, right);
}

function firstOf<Value>(tree: IntervalNode<Value>): IntervalNode<Value> {
  let first = tree;
  while (first.left !== null) first = first.left;
  return first;
}

/** The node of exactly [start, end). */
export function found<Value>(tree: Tree<Value>, start: string, end: string | null): Tree<Value> {
  let at = tree;
  while (at !== null && (start !== at.start || end !== at.end)) {
    at = isBefore(start, end, at) ? at.left : at.right;
  }
  return at;
}

/** The first node, in order, of those that contain all of [start, end): the widest. */
export function covering<Value>(tree: Tree<Value>, start: string, end: string | null): Tree<Value> {
  if (tree === null || !reaches(tree.endMax, end)) return null;
  // The first interval that reaches `end` is the one that starts first: if it starts too late, all do.
  let at = tree;
  for (;;) {
    if (at.left !== null && reaches(at.left.endMax, end)) at = at.left;
    else if (reaches(at.end, end)) return at.start <= start ? at : null;
    else if (at.right === null) return null;
    else at = at.right;
  }
}

/** Visits the intervals that `key` lies in, in order: a logarithmic way to each. */
export function visitContaining<Value>(tree: Tree<Value>, key: string, visit: (value: Value) => void): void {
  for (let at = tree; at !== null && (at.endMax === null || key < at.endMax); at = at.right) {
    if (at.left !== null) visitContaining(at.left, key, visit);
    if (key < at.start) return;
    if (at.end === null || key < at.end) visit(at.value);
  }
}

/** Visits the intervals inside [start, end), in order. Looks at all that start there. */
export function visitInside<Value>(
  tree: Tree<Value>,
  start: string,
  end: string | null,
  visit: (value: Value) => void,
): void {
  for (let at = tree; at !== null; at = at.right) {
    if (start > at.start) continue;
    if (at.left !== null) visitInside(at.left, start, end, visit);
    if (end !== null && at.start >= end) return;
    if (reaches(end, at.end)) visit(at.value);
  }
}

/** All nodes, in order. */
export function* nodesOf<Value>(tree: Tree<Value>): Generator<IntervalNode<Value>, void> {
  for (let at = tree; at !== null; at = at.right) {
    if (at.left !== null) yield* nodesOf(at.left);
    yield at;
  }
}
