/** Ctrl-K or Cmd-K: every place and every action, by name. */
import { useMantineColorScheme } from "@mantine/core";
import { Spotlight, type SpotlightActionData } from "@mantine/spotlight";
import {
  IconBox,
  IconKey,
  IconLogout,
  IconMoon,
  IconPlus,
  IconSearch,
  IconSettings,
  IconSun,
} from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useSandboxes } from "../sandboxes/sandbox-queries.ts";
import { sandboxTitle } from "../sandboxes/sandbox-words.ts";
import { signOut } from "../session/session.ts";
import { tellFailure } from "./explanation.ts";

export function Palette() {
  const navigate = useNavigate();
  const { setColorScheme } = useMantineColorScheme();
  const { data: sandboxes = [] } = useSandboxes();
  const go = (to: "/sandboxes" | "/keys" | "/settings") => () => void navigate({ to, search: {} });
  const actions: SpotlightActionData[] = [
    {
      id: "create",
      label: "Create a sandbox",
      leftSection: <IconPlus size={18} />,
      onClick: () => void navigate({ to: "/sandboxes", search: { create: true } }),
    },
    {
      id: "sandboxes",
      label: "Go to sandboxes",
      leftSection: <IconBox size={18} />,
      onClick: go("/sandboxes"),
    },
    {
      id: "keys",
      label: "Go to API keys",
      leftSection: <IconKey size={18} />,
      onClick: go("/keys"),
    },
    {
      id: "settings",
      label: "Go to settings",
      leftSection: <IconSettings size={18} />,
      onClick: go("/settings"),
    },
    {
      id: "light",
      label: "Light theme",
      leftSection: <IconSun size={18} />,
      onClick: () => setColorScheme("light"),
    },
    {
      id: "dark",
      label: "Dark theme",
      leftSection: <IconMoon size={18} />,
      onClick: () => setColorScheme("dark"),
    },
    {
      id: "sign-out",
      label: "Sign out",
      leftSection: <IconLogout size={18} />,
      onClick: () =>
        void signOut().catch((error: unknown) =>
          tellFailure("Only this page has signed out", error),
        ),
    },
    ...sandboxes.map((sandbox) => ({
      id: sandbox.id,
      label: sandboxTitle(sandbox),
      description: `Open the sandbox ${sandbox.id}`,
      leftSection: <IconBox size={18} />,
      onClick: () => void navigate({ to: "/sandboxes/$id", params: { id: sandbox.id } }),
    })),
  ];
  return (
    <Spotlight
      actions={actions}
      shortcut="mod + K"
      nothingFound="Nothing is called that"
      highlightQuery
      attributes={{ content: { "aria-label": "Find" } }}
      limit={12}
      scrollable
      maxHeight={420}
      searchProps={{
        leftSection: <IconSearch size={18} aria-hidden />,
        placeholder: "Find a sandbox or an action",
        "aria-label": "Find a sandbox or an action",
      }}
    />
  );
}
