export interface Notice {
  id: number;
  tone: 'ok' | 'critical';
  text: string;
}

/** Short messages about what was just done; failures stay until closed. */
class Notices {
  list = $state<Notice[]>([]);
  #last = 0;

  tell(text: string): void {
    const id = this.#add('ok', text);
    setTimeout(() => this.close(id), 5000);
  }

  fail(text: string): void {
    this.#add('critical', text);
  }

  close(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
  }

  #add(tone: Notice['tone'], text: string): number {
    this.#last += 1;
    this.list = [...this.list.slice(-3), { id: this.#last, tone, text }];
    return this.#last;
  }
}

export const notices = new Notices();
