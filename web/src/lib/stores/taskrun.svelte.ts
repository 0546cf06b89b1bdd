import { explain, isAbort } from '$lib/api/client';
import { api } from '$lib/api/endpoints';
import type { TaskProgress } from '$lib/api/types';

/** One run of a task while somebody looks at it: who leaves has cancelled it. */
export class TaskRun {
  task = $state('');
  running = $state(false);
  progress = $state.raw<TaskProgress | null>(null);
  error = $state('');
  #asking: AbortController | null = null;

  /** Returns when the run has ended, whichever way. */
  async start(id: string, host: string, task: string, parameters: Record<string, string>): Promise<void> {
    if (this.running) return;
    const asking = new AbortController();
    this.#asking = asking;
    [this.task, this.running, this.progress, this.error] = [task, true, null, ''];
    const take = (line: TaskProgress) => {
      if (this.#asking === asking) this.progress = line;
    };
    try {
      await api.runTask(id, host, task, parameters, take, asking.signal);
      this.#end(asking, '');
    } catch (error) {
      this.#end(asking, isAbort(error) ? 'cancelled' : explain(error));
    }
  }

  cancel(): void {
    this.#asking?.abort();
  }

  #end(asking: AbortController, error: string): void {
    if (this.#asking !== asking) return;
    [this.#asking, this.running, this.error] = [null, false, error];
  }
}

/** How a run has ended, in words; null while it runs. */
export function ended(progress: TaskProgress): string | null {
  if (progress.state === 'running') return null;
  if (progress.state === 'succeeded') return 'Succeeded';
  return `${progress.state.replace('_', ' ')}: ${progress.text}`;
}
