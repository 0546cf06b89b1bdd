/** What part of a drawing is seen, and how large. */
export interface Sight {
  x: number;
  y: number;
  scale: number;
}

interface Size {
  width: number;
  height: number;
}

const scales = { least: 0.15, most: 3 };

/** Lets a drawing be pulled by the mouse, and be made larger and smaller. */
export class PanZoom {
  /** What a person made of it; null shows all. */
  moved = $state.raw<Sight | null>(null);
  #drag: { x: number; y: number; from: Sight; far: boolean } | null = null;

  /**
   * All of a drawing in its box, but no larger than it is; where that would be too
   * small to read, what lies around its first point.
   */
  static fitted(drawing: Size, box: Size, first?: { x: number; y: number }): Sight {
    const whole = Math.min(1, box.width / drawing.width, box.height / drawing.height);
    const scale = Math.max(0.75, whole);
    const middle = (room: number, size: number) => Math.max(0, (room - size * scale) / 2);
    const high = drawing.height * scale;
    const y =
      first && high > box.height ? box.height / 2 - first.y * scale : middle(box.height, drawing.height);
    return { scale, x: middle(box.width, drawing.width), y };
  }

  /** Shows all, however small. */
  whole(drawing: Size, box: Size): void {
    const scale = Math.max(scales.least, Math.min(1, box.width / drawing.width, box.height / drawing.height));
    const middle = (room: number, size: number) => (room - size * scale) / 2;
    this.moved = { scale, x: middle(box.width, drawing.width), y: middle(box.height, drawing.height) };
  }

  /** Zooms so that what lies at (x, y) of the box stays there. */
  zoom(view: Sight, factor: number, x: number, y: number): void {
    this.#drag = null;
    const scale = Math.max(scales.least, Math.min(scales.most, view.scale * factor));
    const by = scale / view.scale;
    this.moved = { scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by };
  }

  reset(): void {
    this.moved = null;
  }

  down(event: PointerEvent, view: Sight): void {
    if (event.button === 0) this.#drag = { x: event.clientX, y: event.clientY, from: view, far: false };
  }

  move(event: PointerEvent): void {
    const drag = this.#drag;
    if (!drag) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.far && Math.hypot(dx, dy) < 4) return;
    if (!drag.far) (event.currentTarget as Element).setPointerCapture(event.pointerId);
    drag.far = true;
    this.moved = { ...drag.from, x: drag.from.x + dx, y: drag.from.y + dy };
  }

  /** Lets go; says whether it was a click, and no pull. */
  up(): boolean {
    const clicked = this.#drag !== null && !this.#drag.far;
    this.#drag = null;
    return clicked;
  }

  /** Brings a point of the drawing into sight. */
  reveal(view: Sight, at: { x: number; y: number }, box: { width: number; height: number }): void {
    const [x, y] = [view.x + at.x * view.scale, view.y + at.y * view.scale];
    if (x > 60 && x < box.width - 140 && y > 30 && y < box.height - 30) return;
    this.moved = { ...view, x: view.x + box.width / 2 - x, y: view.y + box.height / 2 - y };
  }
}
