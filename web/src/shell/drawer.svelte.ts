/** Whether a narrow screen has the navigation slid in. */
export const drawer = $state({ open: false });
