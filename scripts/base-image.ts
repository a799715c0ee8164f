export async function prepareBaseImage(): Promise<void> {}
