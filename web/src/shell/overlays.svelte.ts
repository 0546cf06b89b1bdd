export type Overlay = 'palette' | 'keys' | 'password';

/** Which of the shell's dialogs is open. */
class Overlays {
  open = $state<Overlay | null>(null);

  show(overlay: Overlay): void {
    this.open = overlay;
  }

  toggle(overlay: Overlay): void {
    this.open = this.open === overlay ? null : overlay;
  }

  close(): void {
    this.open = null;
  }
}

export const overlays = new Overlays();
