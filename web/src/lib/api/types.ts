import type { components } from './api.gen';

/**
 * The shapes of the REST API by the names the pages use. They are generated
 * from docs/openapi.json (`npm run generate`); only what OpenAPI cannot say is
 * added here.
 */
type Schemas = components['schemas'];

export type Severity = 'informational' | 'low' | 'medium' | 'high' | 'critical' | 'unknown';
export type FieldValue = string | number | boolean | null | FieldValue[];

/** One stored event; `fields` is flat, by the names that queries use. */
export type Event = Omit<Schemas['Event'], 'fields' | 'severity'> & {
  severity: Severity;
  fields: Record<string, FieldValue>;
};

export type Entity = Schemas['Entity'];
export type Agent = Schemas['Agent'];
export type MadeToken = Schemas['MadeToken'];
export type Node = Schemas['Node'];
export type Trouble = Schemas['Trouble'];
export type AgentState = Agent['state'];
export type Health = Agent['health'];
export type AgentTask = Schemas['AgentTask'];
/** One line of a task's progress. */
export interface TaskProgress {
  run_id: string;
  state: 'running' | 'succeeded' | 'failed' | 'cancelled' | 'timed_out' | 'stuck';
  done: number;
  total: number;
  text: string;
  result_bytes: number;
}
export type AgentsStatus = Schemas['AgentsStatus'];
export type User = Schemas['User'];
export type Role = User['role'];
export type Session = Schemas['Session'];
export type Overview = Omit<Schemas['Overview'], 'recent'> & { recent: Event[] };
export type OverviewStatus = Omit<Schemas['Overview'], 'recent'>;
export type TopProcess = Schemas['TopProcess'];
export type TopHost = Schemas['TopHost'];
export type SeriesResponse = Schemas['SeriesAnswer'];
export type TimeSeries = Schemas['TimeSeries'];
export type SeriesPoint = Schemas['SeriesPoint'];
export type Facet = Schemas['Facet'];
export type FieldInfo = Schemas['FieldInfo'];
export type EventsResponse = Omit<Schemas['EventsAnswer'], 'events'> & { events: Event[] };
export type Lack = Schemas['Lack'];
export type RowsResponse = Omit<Schemas['RowsAnswer'], 'rows'> & { rows: string[][] };
export type FieldValues = Schemas['FieldValues'];
export type Completion = Schemas['Completion'];
export type CompletionOption = Schemas['CompletionOption'];
export type Mend = Schemas['Mend'];
export type SavedQuery = Schemas['SavedQuery'];
export type SavedKind = NonNullable<SavedText['kind']>;
/** What people choose of a saved query. */
export type SavedText = Schemas['SavedText'];
export type BackupAnswer = Schemas['BackupAnswer'];
export type StoreAnswer = Schemas['StoreAnswer'];
export type StoreCluster = Schemas['StoreCluster'];
export type StoreDay = Schemas['StoreDay'];
export type EventDetail = Omit<Schemas['EventAnswer'], 'event' | 'before' | 'after' | 'related'> & {
  event: Event;
  before: Event[];
  after: Event[];
  related: Event[];
};
export type Problem = Schemas['ErrorModel'];

type Message<Name extends keyof Schemas, Type extends string> = Omit<Schemas[Name], 'type'> & { type: Type };

/** What the live stream says, told apart by `type`. */
export type ServerMessage =
  | (Omit<Message<'EventsMessage', 'events'>, 'events'> & { events: Event[] })
  | Message<'GapMessage', 'gap'>
  | Message<'AgentsMessage', 'agents'>
  | Message<'OverviewMessage', 'overview'>
  | Message<'SeriesMessage', 'series'>
  | Message<'DevicesMessage', 'devices'>
  | (Message<'ErrorMessage', 'error'> & { id: string })
  | ({ id?: undefined } & Message<'HelloMessage', 'hello'>)
  | ({ id?: undefined } & Message<'PongMessage', 'pong'>)
  | ({ id?: undefined } & Message<'HubMessage', 'hub'>);
