/** Around every page of someone who signed in: where one can go, who one is, the palette. */
import {
  AppShell,
  Avatar,
  Burger,
  Button,
  Group,
  Kbd,
  Menu,
  NavLink,
  Text,
  UnstyledButton,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { spotlight } from "@mantine/spotlight";
import { IconBox, IconKey, IconLogout, IconSearch, IconSettings } from "@tabler/icons-react";
import { Link, Outlet, useLocation } from "@tanstack/react-router";
import { signOut, usePerson } from "../session/session.ts";
import { Brand } from "./brand.tsx";
import { tellFailure } from "./explanation.ts";
import { Palette } from "./palette.tsx";
import { ThemeSwitch } from "./theme-switch.tsx";

const PLACES = [
  { to: "/sandboxes", label: "Sandboxes", icon: IconBox },
  { to: "/keys", label: "API keys", icon: IconKey },
  { to: "/settings", label: "Settings", icon: IconSettings },
] as const;

const initialsOf = (name: string): string => {
  const words = name.split(/\s+/).filter(Boolean);
  return [words[0], words.length > 1 ? words.at(-1) : undefined]
    .map((word = "") => Array.from(word)[0]?.toUpperCase() ?? "")
    .join("");
};

function PersonMenu() {
  const { name, email } = usePerson();
  const leave = (): void =>
    void signOut().catch((error: unknown) => tellFailure("Only this page has signed out", error));
  return (
    <Menu position="bottom-end" width={230}>
      <Menu.Target>
        <UnstyledButton aria-label={`${initialsOf(name)}: account of ${name}`}>
          <Avatar color="indigo.7" variant="filled" size={34}>
            {initialsOf(name)}
          </Avatar>
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <div role="presentation" style={{ padding: "8px 12px" }}>
          <Text fw={600} size="sm">
            {name}
          </Text>
          <Text c="dimmed" size="xs" truncate>
            {email}
          </Text>
        </div>
        <Menu.Divider />
        <Menu.Item
          component={Link}
          to="/settings"
          leftSection={<IconSettings size={16} aria-hidden />}
        >
          Settings
        </Menu.Item>
        <Menu.Item leftSection={<IconLogout size={16} aria-hidden />} onClick={leave}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

export function Frame() {
  const [opened, { toggle, close }] = useDisclosure();
  const { pathname } = useLocation();
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 216, breakpoint: "md", collapsed: { mobile: !opened } }}
      transitionDuration={0}
      padding={{ base: "md", lg: "xl" }}
    >
      <a className="skip-link" href="#content">
        Skip to the content
      </a>
      <AppShell.Header className="frame-bar">
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group wrap="nowrap">
            <Burger opened={opened} onClick={toggle} hiddenFrom="md" size="sm" aria-label="Menu" />
            <Brand />
          </Group>
          <Group gap="sm" wrap="nowrap">
            <Button
              variant="default"
              leftSection={<IconSearch size={16} aria-hidden />}
              rightSection={<Kbd size="xs">Ctrl K</Kbd>}
              onClick={spotlight.open}
              fw={400}
            >
              Find
            </Button>
            <ThemeSwitch />
            <PersonMenu />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar className="frame-side" p="sm" aria-label="Pages">
        {PLACES.map(({ to, label, icon: Symbol }) => (
          <NavLink
            key={to}
            component={Link}
            to={to}
            label={label}
            leftSection={<Symbol size={18} aria-hidden />}
            data-active={pathname.startsWith(to) || undefined}
            onClick={close}
          />
        ))}
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1}>
        <div style={{ maxWidth: 1180, marginInline: "auto" }}>
          <Outlet />
        </div>
      </AppShell.Main>
      <Palette />
    </AppShell>
  );
}
