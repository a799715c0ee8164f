import { createTheme, type MantineColorsTuple } from "@mantine/core";

const indigo: MantineColorsTuple = [
  "#eef2ff",
  "#e0e7ff",
  "#c7d2fe",
  "#a5b4fc",
  "#818cf8",
  "#6366f1",
  "#4f46e5",
  "#4338ca",
  "#3730a3",
  "#312e81",
];
/** From paper to ink; the page's own dark is bluer and deeper than the library's. */
const dark: MantineColorsTuple = [
  "#e6e8ee",
  "#b4bac8",
  "#98a0b2",
  "#6b7386",
  "#363c4a",
  "#2a2f3b",
  "#1b1f28",
  "#12151c",
  "#0d0f15",
  "#08090d",
];

const sans =
  'Inter, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';

export const theme = createTheme({
  colors: { indigo, dark },
  primaryColor: "indigo",
  primaryShade: { light: 6, dark: 6 },
  defaultRadius: "md",
  fontFamily: sans,
  fontFamilyMonospace: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  headings: { fontFamily: sans, fontWeight: "650" },
  cursorType: "pointer",
  respectReducedMotion: true,
});
