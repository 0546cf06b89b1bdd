import { explain, isAbort } from '$lib/api/client';
import { api } from '$lib/api/endpoints';

const lines = 500;
const every = 2000;

/** The tail of one agent's log, read again every two seconds while followed. */
export class LogFollow {
  lines = $state.raw<readonly string[] | null>(null);
  error = $state('');
  following = $state(true);

  start(id: string, host: string): () => void {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const read = async () => {
      if (this.lines === null || (this.following && !document.hidden))
        await this.#read(id, host, abort.signal);
      if (!abort.signal.aborted) timer = setTimeout(read, every);
    };
    void read();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }

  async #read(id: string, host: string, signal: AbortSignal): Promise<void> {
    try {
      this.lines = (await api.agentLogs(id, host, lines, signal)).lines;
      this.error = '';
    } catch (error) {
      if (!isAbort(error)) this.error = explain(error);
    }
  }
}
