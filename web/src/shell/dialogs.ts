/** The shell's dialogs, whose code comes in when first needed. */
export const dialogs = {
  palette: () => import('./Palette.svelte'),
  keys: () => import('./KeyList.svelte'),
  password: () => import('./Password.svelte'),
};
