/** Which rows of a long list have to be drawn, and where. */
export interface Window {
  first: number;
  /** One behind the last row to draw. */
  end: number;
  /** Height of the rows left out above. */
  before: number;
  /** Height of all rows together. */
  total: number;
}

/** One row that is taller than the others, such as an opened one. */
export interface Tall {
  index: number;
  extra: number;
}

const overscan = 6;

/** All rows are `height` tall, but for one that may have `extra` beneath it. */
export function windowOf(
  count: number,
  height: number,
  scrollTop: number,
  viewport: number,
  tall: Tall | null = null,
): Window {
  const extra = tall && tall.index >= 0 && tall.index < count ? tall.extra : 0;
  const total = count * height + extra;
  const first = Math.max(0, Math.min(count, rowAt(scrollTop, height, tall, extra)) - overscan);
  const last = rowAt(scrollTop + viewport, height, tall, extra) + overscan;
  return {
    first: Math.min(first, count),
    end: Math.min(count, last + 1),
    before: topOf(first, height, tall),
    total,
  };
}

function rowAt(y: number, height: number, tall: Tall | null, extra: number): number {
  if (!tall || extra === 0) return Math.floor(y / height);
  const bottom = (tall.index + 1) * height + extra;
  if (y < (tall.index + 1) * height) return Math.floor(y / height);
  return y < bottom ? tall.index : Math.floor((y - extra) / height);
}

/** Where a row starts. */
export function topOf(index: number, height: number, tall: Tall | null = null): number {
  return index * height + (tall && index > tall.index ? tall.extra : 0);
}

/** The scroll position nearest to the present one at which a row is wholly seen. */
export function scrollTo(
  index: number,
  height: number,
  scrollTop: number,
  viewport: number,
  tall: Tall | null = null,
): number {
  const top = topOf(index, height, tall);
  const bottom = top + height + (tall?.index === index ? Math.min(tall.extra, viewport - height) : 0);
  if (top < scrollTop) return top;
  return bottom > scrollTop + viewport ? bottom - viewport : scrollTop;
}
