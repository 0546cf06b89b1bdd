/** A column of a grid. */
export interface GridColumn {
  key: string;
  label: string;
  /** Pixels wide at first, and what a person made of it is remembered. */
  width: number;
  /** Takes what room is left. */
  grow?: boolean;
  number?: boolean;
  sortable?: boolean;
  /** Shown to readers of screens only. */
  labelUnseen?: boolean;
}

export const narrowest = 48;

/** grid-template-columns for the columns at the widths people gave them. */
export function template(columns: readonly GridColumn[], widths: Readonly<Record<string, number>>): string {
  return columns
    .map((column) => {
      const width = widths[column.key];
      if (width !== undefined) return `${width}px`;
      return column.grow ? `minmax(${column.width}px, 1fr)` : `${column.width}px`;
    })
    .join(' ');
}

export function totalWidth(columns: readonly GridColumn[], widths: Readonly<Record<string, number>>): number {
  return columns.reduce((sum, column) => sum + (widths[column.key] ?? column.width), 0);
}
